#include <string.h>

#include "agency/lea.h"

const char *lea_channel_name(enum lea_channel c)
{
    static const char *const names[LEA_CHANNELS] = {"cdc", "x2"};

    return names[c];
}

enum err lea_read(enum lea_channel channel, struct view octets, struct lea_message *out,
                  char why[LEA_WHY])
{
    size_t used = 0;
    enum err e = E_OK;

    out->channel = channel;
    TRY(channel == LEA_CDC ? cdc_read(octets, &out->cdc, &used, why, LEA_WHY)
                           : x2_read(octets, &out->x2, &used, why, LEA_WHY));
    out->octets = view_sub(octets, 0, used);
out:
    return e;
}

uint64_t lea_at_us(const struct lea_message *m)
{
    return m->channel == LEA_CDC ? m->cdc.at_us : m->x2.at_us;
}
