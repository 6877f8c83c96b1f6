/* agency/voice.h - the voice of tapped calls: keys from call data, packets from a capture, WAV out.
 *
 * Way        tell everything first, then let it hear all packets, then write.
 * Keys       the a=crypto lines of who speaks (RFC 4568): whose key opens a packet, that one's it
 * is, so no clock is trusted. Unencrypted voice counts from 2 s before it was told of until 2 s
 * after its call ended. A packet is of a side when it goes where the other side wants to hear, or
 * comes from where this side does (RFC 4961).
 * Sound      PCMU (others are counted). Both sides of a call begin at the same instant; where
 * nothing came is silence; a stream whose time stamps leap more than 1 s from the capture's time is
 * set right by that. Keyed digits (RFC 4733) are told.
 * Limits     1000 calls of cases, 32 keys for each side (the oldest go), 2 h of a side; a file
 * holds 10 minutes, the next ones follow. Threads: one at a time on one object. */
#ifndef AGENCY_VOICE_H
#define AGENCY_VOICE_H

#include "agency/capture.h"
#include "lawful_intercept/cdc.h"

enum { VOICE_NAME = 128, VOICE_DIGITS = 65 };
enum voice_side { VOICE_SUBJECT, VOICE_OTHER, VOICE_SIDES };

struct voice;

struct voice_report {
    unsigned call;
    char case_id[26], sequence[26];
    enum voice_side side;
    unsigned keys;
    uint64_t packets;                    /* that were heard */
    uint64_t not_opened, again, no_pcmu; /* wrong key; came twice; another codec */
    uint64_t cut;                        /* beyond what a side may have */
    uint64_t samples;
    char digits[VOICE_DIGITS];
    char file[VOICE_NAME]; /* the first; "" nothing was heard */
    unsigned files;
};

MUST_CHECK enum err voice_new(struct voice **out);
void voice_free(struct voice *v); /* NULL is fine; wipes keys */
/* The next message of call data; call: its number (agency/calls.h). E_FULL, E_NOMEM. */
MUST_CHECK enum err voice_tell(struct voice *v, unsigned call, const struct cdc_message *m);
/* E_NOMEM. What is of no call is passed over. */
MUST_CHECK enum err voice_hear(struct voice *v, const struct capture_datagram *d);
/* A WAV for each side that was heard, in folder, which exists: call-1-CASE-subject.wav, -other.wav;
 * further parts -subject-2.wav. said: of each side, heard or not. E_IO: what could be is written.
 */
MUST_CHECK enum err voice_write(struct voice *v, const char *folder,
                                void (*said)(void *arg, const struct voice_report *r), void *arg);

#endif
