/* media/rfc4733.h - telephone events, DTMF only (RFC 4733 sections 2.3, 2.5). Pure.
 * Send       one update each 50 ms while the key is held, duration growing, then three packets
 *            with the end bit; all with the timestamp of the key press. The caller asks each 20 ms.
 * Receive    one digit for each event timestamp and SSRC, however many packets tell of it. */
#ifndef MEDIA_RFC4733_H
#define MEDIA_RFC4733_H

#include "base/view.h"

#define EVENT_PAYLOAD_BYTES 4

struct event_payload {
    uint8_t event; /* 0..15: 0-9 * # A-D */
    bool end;
    uint8_t volume;    /* 0..63, -dBm0 */
    uint16_t duration; /* samples */
};

void event_build(const struct event_payload *p, uint8_t out[EVENT_PAYLOAD_BYTES]);
/* E_PARSE: shorter than 4 octets; E_RANGE: not a DTMF event. */
MUST_CHECK enum err event_parse(struct view payload, struct event_payload *out);
/* '0'..'9' '*' '#' 'A'..'D' (any case) <-> 0..15; -1 / 0 for anything else. */
int event_of_digit(char digit);
char event_digit(uint8_t event);

struct event_sender { /* zero value: idle */
    bool active;
    uint8_t event, ends_left;
    uint32_t timestamp;                   /* of the key press: in every packet of the event */
    uint32_t elapsed, total, next_update; /* samples */
};

/* E_RANGE: no digit; E_STATE: one is under way. hold_ms 40..5000. */
MUST_CHECK enum err event_start(struct event_sender *s, char digit, uint32_t timestamp,
                                uint32_t hold_ms);
/* Called for each 20 ms tick: true when a packet is due; *out_marker on the first of an event. */
bool event_tick(struct event_sender *s, struct event_payload *out, bool *out_marker);

struct event_receiver { /* zero value: nothing heard */
    bool heard;
    uint32_t ssrc, timestamp;
};
/* True once for each event: *out_digit. */
bool event_receive(struct event_receiver *r, uint32_t ssrc, uint32_t timestamp,
                   const struct event_payload *p, char *out_digit);

#endif
