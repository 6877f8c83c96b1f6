/* A result of enum err cannot be dropped in silence. */
#pragma GCC diagnostic error "-Wunused-result"
#include "base/crypto.h"

void forget(void);
void forget(void)
{
    unsigned char b[4];
    crypto_random(b, sizeof b);
}
