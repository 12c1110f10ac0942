from importlib import import_module

import pytest

import runoff_lstm


@pytest.mark.parametrize("name", runoff_lstm.__all__)
def test_every_name_of_the_package_is_that_of_its_module(name):
    found = getattr(runoff_lstm, name)
    homes = [home for home, names in runoff_lstm._HOME.items() if name in names]
    assert len(homes) == 1
    assert found is getattr(import_module(f"runoff_lstm.{homes[0]}"), name)


def test_the_list_of_names_is_whole_and_an_unknown_one_is_refused():
    assert sorted(runoff_lstm.__all__) == sorted(name for names in runoff_lstm._HOME.values() for name in names)
    assert dir(runoff_lstm) == sorted(runoff_lstm.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'unheard_of'"):
        runoff_lstm.unheard_of  # noqa: B018
