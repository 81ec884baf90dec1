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
    // Where there is no GPU code: PTX of nothing but a comment. A driver refuses it; the tests'
    // stand-in, which has its kernels from elsewhere, finds the names that it looks for.
    .asciz "// orch_digest, orch_dump: built without a CUDA compiler"
    .section .note.GNU-stack, "", @progbits
