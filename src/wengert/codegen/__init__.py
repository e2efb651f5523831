"""Code generation: from kernels as data to machine code. LLVM is used here only.

`kernel` says what a kernel computes, `loops` writes its loop nest, `emit` and the `math_*` modules
its scalar and vector instructions, `native`, `threads` and `pycall` the runtime around kernels.
`compiler` asks LLVM for object files, `cache` keeps them on disk, `elf` loads them, and `engine`
decides what is needed. Only `compiler` and what it imports need LLVM.
"""
