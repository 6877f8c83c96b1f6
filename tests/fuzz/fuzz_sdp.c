/* The SDP reader. */
#include <stdlib.h>

#include "signaling/sdp.h"

static void inside(struct view v, struct view text)
{
    BUG_ON(v.n > 0 && (v.p < text.p || v.p + v.n > text.p + text.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sdp s;
    struct view text = view_from(data, size);
    const char *why = NULL;

    if (sdp_parse(text, &s, &why) != E_OK) {
        BUG_ON(why == NULL);
        return 0;
    }
    BUG_ON(s.n_media > SDP_MAX_MEDIA);
    inside(s.origin_username, text);
    for (unsigned i = 0; i < s.n_media; i++) {
        const struct sdp_media *m = &s.media[i];
        BUG_ON(m->n_formats == 0 || m->n_formats > SDP_MAX_FORMATS || m->n_crypto > SDP_MAX_CRYPTO);
        BUG_ON(m->port != 0 && (m->address.family == 0 || m->address.port != m->port));
        BUG_ON(m->event_format < -1 || m->event_format > 127);
        inside(m->kind, text);
        inside(m->proto, text);
        inside(m->setup, text);
        inside(m->connection, text);
        for (unsigned k = 0; k < m->n_formats; k++) {
            inside(m->format[k], text);
        }
        for (unsigned k = 0; k < m->n_crypto; k++) {
            BUG_ON(m->crypto[k].key_base64.n == 0);
            inside(m->crypto[k].suite, text);
            inside(m->crypto[k].key_base64, text);
        }
        BUG_ON(sdp_find(&s, m->kind) == NULL);
    }
    return 0;
}
