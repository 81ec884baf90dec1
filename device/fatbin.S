# The GPU code, as data. ORCH_FATBIN is its file; without a CUDA compiler there is none.
    .section .rodata.orch_fatbin, "a", @progbits
    .balign 64
    .globl orch_fatbin
    .globl orch_fatbin_end
    .hidden orch_fatbin
    .hidden orch_fatbin_end
    .type orch_fatbin, @object
orch_fatbin:
#ifdef ORCH_FATBIN
    .incbin ORCH_FATBIN
#endif
    .size orch_fatbin, . - orch_fatbin
orch_fatbin_end:
    .byte 0
    .section .note.GNU-stack, "", @progbits
