import pytest

from flows.data.sources.addresses import without_secrets


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("plants.csv", "plants.csv"),
        ("dir/a:b@c.csv", "dir/a:b@c.csv"),
        ("s3://garden/trees/*.csv", "s3://garden/trees/*.csv"),
        ("http://u:p@host/a.csv", "http://u@host/a.csv"),
        ("http://u:p%40q@host:80/a.csv?x=1", "http://u@host:80/a.csv?x=1"),
        ("https://host/a.csv?page=2&order=", "https://host/a.csv?page=2&order="),
        ("https://host/a.csv?page=2&X-Amz-Signature=0f&X-Amz-Credential=k", "https://host/a.csv?page=2"),
        ("https://host/a.csv?sv=1&sig=0f", "https://host/a.csv?sv=1"),
        ("https://host/a.csv?api_key=0f&Token=0f&PWD=0f&secret=0f", "https://host/a.csv"),
    ],
)
def test_passwords_and_secret_parameters_are_left_out(address, shown):
    assert without_secrets(address) == shown
