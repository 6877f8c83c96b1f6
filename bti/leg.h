/* bti/leg.h - the voice of one call: its SDP, its RTP, what is played, recorded and keyed in.
 * Threads: the loop's. */
#ifndef BTI_LEG_H
#define BTI_LEG_H

#include "bti/audio.h"
#include "bti/media_sdp.h"
#include "bti/say.h"
#include "bti/typist.h"

struct leg {
    struct loop *loop;
    const struct options *o;
    const struct say *say;
    struct media *media;
    struct audio audio;
    struct typist typist;
    struct media_offer offer;
    bool secure, started;
    struct net_addr remote; /* as the other's SDP says */
    size_t sdp_n;
    char sdp[MEDIA_SDP_MAX];
};

/* nth: which call of this process it is, for the name of the recording. Says itself what is wrong
 * (E_IO and others). secret_alloc() memory. */
MUST_CHECK enum err leg_new(struct loop *l, const struct options *o, const struct say *say,
                            const struct net_addr *local, unsigned nth, struct leg **out);
/* Ends the voice, tells the event "media" when there was any, closes the recording. NULL is fine.
 */
void leg_free(struct leg *g);
struct view leg_sdp(const struct leg *g);
MUST_CHECK enum err leg_offer(struct leg *g, bool secure);           /* makes leg_sdp() */
MUST_CHECK enum err leg_take_answer(struct leg *g, struct view sdp); /* and starts */
MUST_CHECK enum err leg_take_offer(struct leg *g, struct view sdp, bool allow_keys);
MUST_CHECK enum err leg_start(struct leg *g); /* callee: when it answers */
void leg_modify(struct leg *g, struct view sdp);

#endif
