#include "media/rfc4733.h"

#include <string.h>

enum { TICK = 160, UPDATE = 400, HOLD_MIN_MS = 40, HOLD_MAX_MS = 5000, VOLUME = 10, ENDS = 3 };

static const char DIGITS[] = "0123456789*#ABCD";

void event_build(const struct event_payload *p, uint8_t out[EVENT_PAYLOAD_BYTES])
{
    out[0] = p->event;
    out[1] = (uint8_t)((p->end ? 0x80 : 0) | (p->volume & 0x3f));
    out[2] = (uint8_t)(p->duration >> 8);
    out[3] = (uint8_t)p->duration;
}

enum err event_parse(struct view payload, struct event_payload *out)
{
    const uint8_t *p = (const uint8_t *)payload.p;

    if (payload.n < EVENT_PAYLOAD_BYTES) {
        return FAIL(E_PARSE);
    }
    if (p[0] >= sizeof DIGITS - 1) {
        return FAIL(E_RANGE);
    }
    *out = (struct event_payload){.event = p[0],
                                  .end = (p[1] & 0x80) != 0,
                                  .volume = p[1] & 0x3f,
                                  .duration = (uint16_t)(p[2] << 8 | p[3])};
    return E_OK;
}

int event_of_digit(char digit)
{
    char up = digit >= 'a' && digit <= 'd' ? (char)(digit - 'a' + 'A') : digit;
    const char *at = up != 0 ? strchr(DIGITS, up) : NULL;

    return at != NULL ? (int)(at - DIGITS) : -1;
}

char event_digit(uint8_t event)
{
    return event < sizeof DIGITS - 1 ? DIGITS[event] : 0;
}

enum err event_start(struct event_sender *s, char digit, uint32_t timestamp, uint32_t hold_ms)
{
    int event = event_of_digit(digit);

    if (event < 0 || hold_ms < HOLD_MIN_MS || hold_ms > HOLD_MAX_MS) {
        return FAIL(E_RANGE);
    }
    if (s->active) {
        return FAIL(E_STATE);
    }
    *s = (struct event_sender){.active = true,
                               .event = (uint8_t)event,
                               .ends_left = ENDS,
                               .timestamp = timestamp,
                               .total = hold_ms * 8};
    return E_OK;
}

bool event_tick(struct event_sender *s, struct event_payload *out, bool *out_marker)
{
    bool end = false;

    if (!s->active) {
        return false;
    }
    *out_marker = s->elapsed == 0;
    s->elapsed += TICK;
    end = s->elapsed >= s->total;
    if (!end && s->elapsed < s->next_update) {
        return false;
    }
    s->next_update += UPDATE;
    *out = (struct event_payload){.event = s->event,
                                  .end = end,
                                  .volume = VOLUME,
                                  .duration = (uint16_t)(end ? s->total : s->elapsed)};
    if (end) {
        s->ends_left--;
        s->active = s->ends_left > 0;
    }
    return true;
}

bool event_receive(struct event_receiver *r, uint32_t ssrc, uint32_t timestamp,
                   const struct event_payload *p, char *out_digit)
{
    if (r->heard && r->ssrc == ssrc && r->timestamp == timestamp) {
        return false;
    }
    /* A packet of an older event that was overtaken is not a new key press. */
    if (r->heard && r->ssrc == ssrc && (int32_t)(timestamp - r->timestamp) < 0) {
        return false;
    }
    *r = (struct event_receiver){.heard = true, .ssrc = ssrc, .timestamp = timestamp};
    *out_digit = event_digit(p->event);
    return true;
}
