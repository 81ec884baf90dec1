# The kernels' GPU code. Without a CUDA compiler: their names, which is all that the stand-in looks for.
    .section .rodata.mini_fatbin, "a", @progbits
    .balign 64
    .globl mini_fatbin
mini_fatbin:
#ifdef MINI_FATBIN
    .incbin MINI_FATBIN
#else
    .ascii "// mini_Embed mini_RmsNorm mini_Convert mini_Rope mini_StoreCache mini_Attention mini_SiluMul"
    .ascii " mini_Add mini_NextToken mini_Fill"
#endif
    .byte 0
    .section .note.GNU-stack, "", @progbits
