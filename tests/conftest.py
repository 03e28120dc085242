"""What holds for all tests: a property is judged by what it says, not by how long a busy machine takes to check it."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
