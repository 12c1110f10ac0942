"""The files around the package: citation, issue forms, workflow, the page for contributors."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
FORMS = sorted(one for one in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if one.name != "config.yml")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def loaded(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version_and_licence():
    citation = loaded(ROOT / "CITATION.cff")
    assert citation.keys() >= {"cff-version", "message", "title", "abstract", "authors", "keywords"}
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert [author["name"] for author in citation["authors"]] == ["runoff_lstm developers"]


def test_the_workflow_runs_the_one_command_that_decides():
    workflow = loaded(GITHUB / "workflows" / "ci.yml")
    assert set(workflow[True]) == {"push", "pull_request"}  # YAML reads the key `on` as true
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    (python,) = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert PROJECT["requires-python"] == f">={python}"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_github_asks_for(path):
    form = loaded(path)
    assert form.keys() >= {"name", "description", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    assert all(field["type"] in ("input", "textarea", "dropdown", "checkboxes") for field in fields)
    assert all(field["attributes"]["label"] for field in fields)


def test_a_bug_comes_with_the_provenance_of_its_run():
    (provenance,) = [field for field in loaded(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"] if field["id"] == "provenance"]
    assert "provenance.json" in provenance["attributes"]["label"]
    assert provenance["validations"]["required"]


def test_every_file_that_the_page_for_contributors_names_is_there():
    page = (GITHUB / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:runoff_lstm|tests)/[\w./]+)`", page):
        assert (ROOT / path).exists(), path


def test_a_commit_title_has_at_most_72_characters_and_its_body_may_be_wider():
    hooks = loaded(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    (hook,) = [one for one in hooks if one.get("stages") == ["commit-msg"]]
    too_long = re.compile(hook["entry"], re.MULTILINE | re.DOTALL)  # as the language pygrep reads it
    assert not too_long.search("x" * 72 + "\n\n" + "y" * 100)
    assert too_long.search("x" * 73 + "\n")
