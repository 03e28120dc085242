"""What `retrain` searches, whether a challenger replaces the champion, and who is told."""
