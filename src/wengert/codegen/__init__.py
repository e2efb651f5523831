"""Code generation: from kernels as data to machine code. LLVM is used here only.

`kernel` says what a kernel computes, `loops` writes its loop nest, `emit` and the `math_*` modules
its scalar and vector instructions, `native`, `threads` and `pycall` the runtime around kernels, and
`engine` compiles, loads and caches them.
"""
