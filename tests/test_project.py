"""The top of the project: what a fresh clone holds and what stays out of it."""

import json
import os
import re
import shlex
import subprocess
import sys
import warnings

import pytest
import yaml

from course_lib import __version__
from course_lib.support.files import COURSE

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")


@pytest.fixture(scope="module")
def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=COURSE, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no git checkout")
    return [COURSE / name for name in done.stdout.split("\0") if name]


def test_top_level(tracked):
    top = {path.relative_to(COURSE).parts[0] for path in tracked}
    assert {name for name in top if not name.startswith(".")} <= {
        "README.md", "environment.yml", "pyproject.toml", "Makefile", "LICENSE", "LICENSE-TEXT",
        "CITATION.cff", "CHANGELOG.md", "CONTRIBUTING.md", "notebooks", "course_lib", "data",
        "tests",
    }  # fmt: skip


def test_no_large_files(tracked):
    assert not [path for path in tracked if path.exists() and path.stat().st_size > 2_000_000]


def test_no_machine_paths(tracked):
    pattern = re.compile(r"(?<![\w.}])/(?:home|root|Users|work|tmp|mnt|srv)/\w+")
    for path in tracked:
        if path.suffix in (".py", ".md", ".ipynb", ".toml", ".yml", ".j2", "") and path.exists():
            assert not pattern.search(path.read_text(encoding="utf-8")), path


def test_every_bundled_file_has_its_provenance(tracked):
    readme = (COURSE / "data" / "README.md").read_text(encoding="utf-8")
    for path in tracked:
        if path.parent == COURSE / "data" and path.name != "README.md":
            assert f"`{path.name}`" in readme


def test_environment_yml_points_at_pyproject():
    text = (COURSE / "environment.yml").read_text(encoding="utf-8")
    assert "--editable .[test]" in text
    packages = re.findall(r"^  - (.+)$", text, re.M)
    assert packages == ["conda-forge", "python>=3.10", "pip", "pip:"]


def test_every_dependency_has_an_upper_bound():
    project = tomllib.loads((COURSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in [
        *project["dependencies"],
        *sum(project["optional-dependencies"].values(), []),
    ]:
        assert re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", requirement), requirement


def hooks():
    text = (COURSE / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (repository,) = yaml.safe_load(text)["repos"]
    assert repository["repo"] == "local", "a hook from elsewhere needs the network"
    return repository["hooks"]


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
def test_a_hook_is_a_part_of_make_test_and_runs(hook):
    assert hook["language"] == "system" and not hook["pass_filenames"]
    makefile = (COURSE / "Makefile").read_text(encoding="utf-8")
    command, *paths = re.split(r" (?=tests/)", hook["entry"])
    assert f"\t$(BIN)/{command}\n" in makefile
    assert all((COURSE / path).is_file() for path in paths)
    python, *arguments = shlex.split(hook["entry"])
    assert python == "python"
    subprocess.run(
        [sys.executable, *arguments, "--help"], cwd=COURSE, check=True, capture_output=True
    )


def test_whoever_forks_the_course_gets_the_book_and_its_launch_buttons():
    workflow = yaml.safe_load((COURSE / ".github/workflows/book.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["book"]["steps"]
    (build,) = [step for step in steps if step.get("run") == "make book"]
    assert build["env"]["COURSE_REPOSITORY"] == "https://github.com/${{ github.repository }}"
    assert "\nbook: install\n" in (COURSE / "Makefile").read_text(encoding="utf-8")
    (upload,) = [step for step in steps if "upload-pages-artifact" in step.get("uses", "")]
    assert upload["with"]["path"] == "runs/book"  # where the command `book` writes it
    binder = yaml.safe_load((COURSE / ".binder/environment.yml").read_text(encoding="utf-8"))
    assert "pytorch-cpu" in binder["dependencies"]
    assert os.access(COURSE / ".binder/postBuild", os.X_OK)
    container = json.loads((COURSE / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "make install" in container["postCreateCommand"]


def test_issue_templates_have_their_heads():
    """GitHub leaves out a template without a name and a description."""
    templates = list((COURSE / ".github" / "ISSUE_TEMPLATE").iterdir())
    assert len(templates) == 3
    for path in templates:
        _, head, body = path.read_text(encoding="utf-8").split("---\n", 2)
        assert {"name", "about"} <= yaml.safe_load(head).keys() and body.strip()


def test_citation_has_what_the_format_asks_for():
    citation = yaml.safe_load((COURSE / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert str(citation["version"]) == __version__


@pytest.mark.parametrize("module", ["course_lib", "course_lib.training", "course_lib.arms.gan"])
def test_a_warning_from_the_library_fails_a_test(module):
    with pytest.raises(UserWarning, match="odd"):
        warnings.warn_explicit("odd", UserWarning, "file.py", 1, module)
    with pytest.warns(UserWarning, match="odd"):
        warnings.warn_explicit("odd", UserWarning, "file.py", 1, "another.library")
