"""`compile`: functions captured once per signature, optimised, planned and run as native code.

Reports, files and export are imported when they are first used.
"""

from wengert.compiling.function import CompiledFunction, compile_function

__all__ = ["CompiledFunction", "compile_function"]
