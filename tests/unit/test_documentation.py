# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written about the collection is true of it. Of modules, ansible-test sanity says the same."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gates import variables
from tests.gates.project import project_files
from tests.gates.setup import ROOT

ROLES = sorted({Path(name).parts[1] for name in project_files("roles/*")})
PAGES = project_files("*.md")
SKELETON = ("README.md", "defaults/main.yml", "meta/argument_specs.yml", "meta/main.yml", "tasks/main.yml")

# Galaxy and Automation Hub show these where no other file of the collection is.
SHOWN_ELSEWHERE = ("README.md", *(f"roles/{role}/README.md" for role in ROLES))
ONLINE = f"{yaml.safe_load((ROOT / 'galaxy.yml').read_text())['repository']}/blob/main/"
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)(?P<file>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
HEADING = re.compile(r"(?m)^#+ +(.*?) *$")
QUALIFIED = re.compile(r"\bpgark\.postgres\.(\w+)")
PLAYBOOK = re.compile(r"\bansible-playbook\b[^`\n]*?\s((?:playbooks/|pgark\.postgres\.)\w+(?:\.yml)?)")
PLACE = re.compile(r"`((?:plugins|roles|playbooks|tests|docs|molecule|meta|changelogs)/[\w./-]+)`")
TARGET = re.compile(r"`make ([a-z0-9-]+)")


def load(*parts: str) -> Any:
    return yaml.safe_load(ROOT.joinpath(*parts).read_text())


def options(role: str) -> dict[str, Any]:
    """Give the options of all entry points; of one that several have, the specification for `main` counts."""
    entries = dict(load("roles", role, "meta/argument_specs.yml")["argument_specs"])
    main = entries.pop("main")
    return {name: option for entry in (*entries.values(), main) for name, option in entry.get("options", {}).items()}


def defaults(role: str) -> dict[str, Any]:
    return dict(load("roles", role, "defaults/main.yml") or {})


def tasks(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every task below a list of tasks, those in blocks too."""
    for task in node or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part))


def made_variables(role: Path) -> Iterator[str]:
    """Yield the names of what a role registers, sets as facts, or keeps in vars/."""
    for file in (*role.glob("tasks/*.yml"), *role.glob("handlers/*.yml")):
        for task in tasks(yaml.safe_load(file.read_text())):
            yield from task.get("ansible.builtin.set_fact", {}).keys() - {"cacheable"}
            yield from filter(None, [task.get("register")])
    for file in role.glob("vars/*.yml"):
        yield from yaml.safe_load(file.read_text()) or {}


def anchors(page: Path) -> set[str]:
    """Return the anchors that forges make of a page's headings."""
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in HEADING.findall(page.read_text())}


def names() -> set[str]:
    """Return what may follow `pgark.postgres.`."""
    plugins = {
        Path(name).stem for name in project_files("plugins/modules/*.py", "plugins/filter/*", "plugins/action/*.py")
    }
    return plugins | set(ROLES) | {Path(name).stem for name in project_files("playbooks/*.yml")} | {"all"}


@pytest.mark.parametrize("role", ROLES)
class TestRole:
    @pytest.mark.parametrize("file", SKELETON)
    def test_has_the_skeleton(self, role: str, file: str) -> None:
        assert (ROOT / "roles" / role / file).is_file()

    def test_specified_defaults_are_the_defaults(self, role: str) -> None:
        specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
        assert specified == {name: value for name, value in defaults(role).items() if value is not None}

    def test_every_default_is_specified(self, role: str) -> None:
        assert defaults(role).keys() <= options(role).keys()

    def test_no_required_option_has_a_default(self, role: str) -> None:
        assert not [name for name, option in options(role).items() if option.get("required") and name in defaults(role)]

    def test_every_option_is_typed_and_described(self, role: str) -> None:
        assert not [name for name, option in options(role).items() if not {"type", "description"} <= option.keys()]

    def test_options_carry_the_name_of_the_role(self, role: str) -> None:
        assert not [name for name in options(role) if not name.startswith(f"{role}_")]

    def test_readme_names_every_option(self, role: str) -> None:
        text = (ROOT / "roles" / role / "README.md").read_text()
        assert not [name for name in options(role) if f"`{name}`" not in text]

    def test_variables_made_on_the_way_are_marked_as_internal(self, role: str) -> None:
        assert not [name for name in made_variables(ROOT / "roles" / role) if not name.startswith(f"__{role}_")]


def test_the_table_of_variables_is_up_to_date() -> None:
    assert variables.PAGE.read_text() == variables.page(), "run make variables"


@pytest.mark.parametrize("page", PAGES)
class TestPage:
    def test_links_lead_somewhere(self, page: str) -> None:
        text = (ROOT / page).read_text()
        assert page not in SHOWN_ELSEWHERE or not [link[0] for link in LINK.finditer(text) if link["file"]]
        up = "../" * page.count("/")
        for link in LINK.finditer(text.replace(ONLINE, up)):
            target = (ROOT / page).parent / link["file"] if link["file"] else ROOT / page
            assert target.exists(), link[0]
            assert not link["anchor"] or link["anchor"] in anchors(target), link[0]

    def test_qualified_names_exist(self, page: str) -> None:
        assert set(QUALIFIED.findall((ROOT / page).read_text())) <= names()

    def test_named_places_exist(self, page: str) -> None:
        assert not [place for place in PLACE.findall((ROOT / page).read_text()) if not (ROOT / place).exists()]

    def test_playbooks_in_commands_exist(self, page: str) -> None:
        for playbook in PLAYBOOK.findall((ROOT / page).read_text()):
            assert playbook.startswith("pgark.") or (ROOT / playbook).is_file(), playbook

    def test_make_targets_exist(self, page: str) -> None:
        makefile = (ROOT / "Makefile").read_text()
        assert not [name for name in TARGET.findall((ROOT / page).read_text()) if f"\n{name}:" not in makefile]


@pytest.mark.parametrize("name", project_files("plugins/modules/*.py"))
def test_what_documents_a_module_can_be_read(name: str) -> None:
    found = {
        node.targets[0].id: yaml.safe_load(node.value.value)
        for node in ast.parse((ROOT / name).read_text()).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        if node.targets[0].id in ("DOCUMENTATION", "EXAMPLES", "RETURN")
    }
    assert {"DOCUMENTATION", "EXAMPLES", "RETURN"} <= set(found)
