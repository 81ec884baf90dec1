// dlsym, interposed: asks orch_intercept_dlsym first, then jumps (never calls) to the real one, so
// that for RTLD_NEXT and RTLD_DEFAULT libc still sees the engine as its caller. A wrapper that calls
// sends another preload's dlsym(RTLD_NEXT, ...) round in circles.
//
// orch_intercept_dlsym(handle, name, caller) returns {address, handled}.

#if defined(__x86_64__)

    .text
    .p2align 4
    .globl dlsym
    .type dlsym, @function
dlsym:
    movq    (%rsp), %rdx
    pushq   %rdi
    pushq   %rsi
    subq    $8, %rsp
    call    orch_intercept_dlsym
    addq    $8, %rsp
    popq    %rsi
    popq    %rdi
    testq   %rdx, %rdx
    jne     1f
    jmp     *orch_real_dlsym(%rip)
1:  ret
    .size dlsym, .-dlsym

#elif defined(__aarch64__)

    .text
    .p2align 4
    .globl dlsym
    .type dlsym, %function
dlsym:
    stp     x29, x30, [sp, #-32]!
    stp     x0, x1, [sp, #16]
    mov     x2, x30
    bl      orch_intercept_dlsym
    cbnz    x1, 1f
    ldp     x0, x1, [sp, #16]
    ldp     x29, x30, [sp], #32
    adrp    x16, orch_real_dlsym
    ldr     x16, [x16, #:lo12:orch_real_dlsym]
    br      x16
1:  ldp     x29, x30, [sp], #32
    ret
    .size dlsym, .-dlsym

#else
#error "liborchtrace.so needs a dlsym stub for this architecture"
#endif

    .section .note.GNU-stack,"",%progbits
