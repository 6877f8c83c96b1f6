/* Nor its octets, by way of the pointer. */
#include "base/log.h"
#include "base/secret.h"

void leak(const struct secret *s);
void leak(const struct secret *s)
{
    LOG(LV_INFO, "key", KV("value", s->b));
}
