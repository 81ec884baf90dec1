// Linked statically: LD_PRELOAD means nothing to it.
#include "tests/apps/lc_product.hpp"

int main() {
    lc::products(3);
    return 4;
}
