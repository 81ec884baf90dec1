/* A C engine that adds checkpoints to an orchtrace trace. Without the library it only computes. */
#include <math.h>
#include <stdio.h>

#include "orchtrace.h"

enum { DIM = 16, LAYERS = 2, TOKENS = 3 };

static void layer(float* x, int index) {
    for (int i = 0; i < DIM; ++i)
        x[i] = tanhf(1.5f * x[i] + 0.1f * (float)(index + 1));
}

int main(void) {
    float x[DIM];
    float sum = 0;
    for (int token = 0; token < TOKENS; ++token) {
        for (int i = 0; i < DIM; ++i)
            x[i] = sinf((float)(token * DIM + i));
        orch_log("embedding", x, DIM, "f32", "[1,16]", token);

        for (int i = 0; i < LAYERS; ++i) {
            layer(x, i);
            /* The name costs something, so it is made only for somebody who reads it. */
            if (orch_log_enabled()) {
                char name[32];
                snprintf(name, sizeof name, "layer_%d_output", i);
                orch_log(name, x, DIM, "f32", "[1,16]", token);
            }
        }
        for (int i = 0; i < DIM; ++i)
            sum += x[i];
    }
    orch_log_flush(); /* before anything that may crash */
    printf("sum %.6f\n", (double)sum);
    return 0;
}
