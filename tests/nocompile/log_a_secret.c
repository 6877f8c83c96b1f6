/* A key cannot be logged: there is no field kind for it. */
#include "base/log.h"
#include "base/secret.h"

void leak(const struct secret *s);
void leak(const struct secret *s)
{
    LOG(LV_INFO, "key", KV("value", *s));
}
