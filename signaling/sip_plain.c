/* What the grammar allows and no next hop should have to read. */
#include <string.h>

#include "signaling/sip_msg.h"

void sip_plain(char *head, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)head[i];
        if (c == '\r' && i + 1 < n && head[i + 1] == '\n') {
            if (i + 2 < n && (head[i + 2] == ' ' || head[i + 2] == '\t')) {
                head[i] = head[i + 1] = ' ';
            }
            i++;
        } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
            head[i] = '?';
        }
    }
}

enum err sip_frame_plain(const struct sip_msg *odd, bool is_datagram, char buf[SIP_MAX_BYTES],
                         struct sip_msg *out)
{
    size_t n = odd->raw.n, head = odd->head.n;
    const char *why = "";

    BUG_ON(n > SIP_MAX_BYTES || head > n);
    memcpy(buf, odd->raw.p, n);
    sip_plain(buf, head);
    return sip_frame(view_from(buf, n), is_datagram, out, &why);
}
