# The kernels' GPU code. Without a CUDA compiler: a byte that the stand-in takes for a module.
    .section .rodata.mini_fatbin, "a", @progbits
    .balign 64
    .globl mini_fatbin
mini_fatbin:
#ifdef MINI_FATBIN
    .incbin MINI_FATBIN
#endif
    .byte 0
    .section .note.GNU-stack, "", @progbits
