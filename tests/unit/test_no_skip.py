# Copyright (c) 2026, the pgark.postgres contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin that makes skips fail, in a pytest of its own."""

import pytest

pytest_plugins = ["pytester"]

SKIPS = {
    "mark": "@pytest.mark.skip(reason='too lazy')\ndef test_it(): pass",
    "condition": "@pytest.mark.skipif(True, reason='too lazy')\ndef test_it(): pass",
    "call": "def test_it(): pytest.skip('too lazy')",
    "fixture": "@pytest.fixture\ndef thing(): pytest.skip('too lazy')\ndef test_it(thing): pass",
    "module": "pytest.skip('too lazy', allow_module_level=True)",
}


@pytest.mark.parametrize("source", SKIPS.values(), ids=SKIPS)
def test_a_skip_is_a_failure_that_quotes_its_reason(pytester: pytest.Pytester, source: str) -> None:
    pytester.makepyfile(f"import pytest\n{source}")
    result = pytester.runpytest_inprocess("-p", "tests.gates.no_skip", "-p", "no:cacheprovider")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*skipped where everything must run: *too lazy"])


def test_tests_that_run_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        def test_it(): pass
        @pytest.mark.xfail(strict=True)
        def test_known_defect(): assert False
        """
    )
    result = pytester.runpytest_inprocess("-p", "tests.gates.no_skip", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, xfailed=1)
