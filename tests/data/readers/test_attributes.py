import numpy as np
import pandas as pd
import pytest

from runoff_lstm.data.readers.attributes import read_attributes
from runoff_lstm.errors import InputError


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_attributes_keep_leading_zeros_whatever_their_separator(tmp_path, separator):
    path = tmp_path / "attributes.csv"
    path.write_text("name,gauge_id,slope\nÉ,00123,4.5\nb,00045,\n".replace(",", separator), encoding="utf-8")
    found = read_attributes(path)
    pd.testing.assert_frame_equal(
        found, pd.DataFrame({"slope": [4.5, np.nan]}, index=["00123", "00045"]), check_names=False, check_index_type=False
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a table in UTF-8 text"),
        (b"gauge_id,name\n1,\xe9\n", "is not a table in UTF-8 text"),
        (b"gauge_id,slope\n01,1,2\n", "is not a table in UTF-8 text"),
        (b"gauge_id,slope\n01,1\n01,2\n", "gauge id '01' is there twice; keep one row"),
    ],
)
def test_attributes_that_cannot_be_read_rightly_are_refused(tmp_path, content, message):
    (tmp_path / "attributes.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_attributes(tmp_path / "attributes.csv")
