"""The parts of the runtime say which functions they have."""

from wengert.codegen import ir
from wengert.codegen.native import build_further
from wengert.codegen.tables import FURTHER


def test_what_only_some_programs_need_is_listed():
    assert set(build_further(ir.Module())) == set(FURTHER)
