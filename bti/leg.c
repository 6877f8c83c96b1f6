/* The voice of one call. */
#include "bti/leg.h"

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"

enum { EVENT_TYPE = 101, TYPE_AFTER_MS = 500 };

static bool on_source(void *arg, int16_t pcm[RTP_FRAME])
{
    struct leg *g = arg;

    return typist_fill(&g->typist, pcm) || audio_play(&g->audio, pcm);
}

static void on_sink(void *arg, const int16_t *pcm, size_t n)
{
    struct leg *g = arg;

    audio_hear(&g->audio, pcm, n);
}

static void on_digit(void *arg, char digit)
{
    const struct leg *g = arg;
    char text[2] = {digit, 0};

    say_event(g->say, "digit", FACTS(fact_text("digit", text)), "digit %s", text);
}

/* heard.wav, heard-2.wav, heard-3.wav ... */
static enum err record_name(const char *record, unsigned nth, char *out, size_t max)
{
    const char *slash = strrchr(record, '/');
    const char *dot = strrchr(record, '.');
    size_t stem = dot != NULL && (slash == NULL || dot > slash + 1) && dot != record
                      ? (size_t)(dot - record)
                      : strlen(record);
    int n = nth <= 1 ? snprintf(out, max, "%s", record)
                     : snprintf(out, max, "%.*s-%u%s", (int)stem, record, nth, record + stem);

    return n > 0 && (size_t)n < max ? E_OK : FAIL(E_RANGE);
}

static enum err open_audio(struct leg *g, unsigned nth)
{
    char record[4096];
    const char *bad = g->o->record;
    enum err e = E_OK;

    if (g->o->record != NULL) {
        TRY(record_name(g->o->record, nth, record, sizeof record));
    }
    TRY(audio_open(&g->audio, g->o->audio, g->o->audio_file, g->o->record != NULL ? record : NULL,
                   &bad));
out:
    if (e != E_OK) {
        say_warn(g->say, "%s: %s", bad,
                 e == E_DENIED     ? "not 8 kHz mono PCM16 or u-law"
                 : e == E_PARSE    ? "not a WAVE file"
                 : e == E_NOTFOUND ? "no such file"
                                   : err_text(e));
    }
    return e;
}

enum err leg_new(struct loop *l, const struct options *o, const struct say *say,
                 const struct net_addr *local, unsigned nth, struct leg **out)
{
    struct leg *g = secret_alloc(sizeof *g);
    enum err e = g != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    g->loop = l;
    g->o = o;
    g->say = say;
    struct media_cfg cfg = {.local = *local,
                            .event_type = EVENT_TYPE,
                            .inband = true,
                            .source = on_source,
                            .sink = on_sink,
                            .digit = on_digit,
                            .arg = g};
    cfg.local.port = 0;
    TRY(media_open(l, &cfg, &g->media));
    TRY(open_audio(g, nth));
    g->offer = (struct media_offer){.rtp = media_local(g->media),
                                    .id = loop_wall_us(l) / 1000,
                                    .version = 1,
                                    .event_type = EVENT_TYPE};
    *out = g;
    g = NULL;
out:
    if (g != NULL) {
        media_close(g->media);
        secret_release(g, sizeof *g);
    }
    return e;
}

static void tell(const struct leg *g)
{
    const struct media_stats *s = media_stats(g->media);
    bool tone = audio_tone_heard(&g->audio);

    say_event(g->say, "media",
              FACTS(fact_number("rtp_sent", s->sent), fact_number("rtp_received", s->received),
                    fact_number("srtp_auth_failures", s->bad_auth),
                    fact_number("srtp_replays", s->bad_replay),
                    fact_number("wrong_source", s->bad_source),
                    fact_number("malformed", s->bad_format), fact_flag("secured", g->secure),
                    fact_flag("tone", tone)),
              "media: %llu packets heard, %llu sent, %llu did not verify, %s%s",
              (unsigned long long)s->received, (unsigned long long)s->sent,
              (unsigned long long)s->bad_auth, g->secure ? "encrypted" : "not encrypted",
              tone ? ", a tone was heard" : "");
}

void leg_free(struct leg *g)
{
    if (g == NULL) {
        return;
    }
    typist_stop(&g->typist);
    media_stop(g->media);
    if (g->started) {
        tell(g);
    }
    if (audio_close(&g->audio) != E_OK) {
        say_warn(g->say, "the recording %s is not complete", g->o->record);
    }
    media_close(g->media);
    secret_release(g, sizeof *g);
}

struct view leg_sdp(const struct leg *g)
{
    return view_from(g->sdp, g->sdp_n);
}

enum err leg_offer(struct leg *g, bool secure)
{
    enum err e = E_OK;

    g->offer.secure = secure;
    if (secure) {
        TRY(media_offer_keys(&g->offer));
    }
    TRY(media_offer_write(&g->offer, g->sdp, sizeof g->sdp, &g->sdp_n));
out:
    return e;
}

static enum err agree(struct leg *g, const struct media_choice *c)
{
    enum err e = E_OK;

    if (c->secure) {
        TRY(media_secure(g->media, c->suite, &c->send, &c->receive));
    }
    g->secure = c->secure;
    g->remote = c->remote;
    media_set_remote(g->media, &c->remote);
    if (c->event_type > 0) {
        media_set_event_type(g->media, (uint8_t)c->event_type);
    }
out:
    return e;
}

enum err leg_start(struct leg *g)
{
    char digits[TYPIST_MAX];
    size_t n = 0;
    enum err e = E_OK;

    if (g->started) {
        return E_OK;
    }
    TRY(media_start(g->media));
    g->started = true;
    if (g->o->send_digits != NULL) {
        TRY(options_digits(view_of(g->o->send_digits), false, digits, sizeof digits, &n));
        TRY(typist_start(&g->typist, g->loop, g->media, g->o->digits_inband, view_from(digits, n),
                         TYPE_AFTER_MS, NULL, NULL));
    }
out:
    return e;
}

enum err leg_take_answer(struct leg *g, struct view sdp)
{
    struct media_choice c = {.event_type = -1};
    enum err e = E_OK;

    TRY(media_answer_read(&g->offer, sdp, &c));
    TRY(agree(g, &c));
    TRY(leg_start(g));
out:
    media_choice_wipe(&c);
    return e;
}

enum err leg_take_offer(struct leg *g, struct view sdp, bool allow_keys)
{
    struct media_choice c = {.event_type = -1};
    enum err e = E_OK;

    TRY(media_offer_answer(&g->offer, sdp, allow_keys, &c, g->sdp, sizeof g->sdp, &g->sdp_n));
    TRY(agree(g, &c));
out:
    media_choice_wipe(&c);
    return e;
}

void leg_modify(struct leg *g, struct view sdp)
{
    struct net_addr remote;
    bool may_send = false;

    if (!g->started || media_modified(sdp, &remote, &may_send) != E_OK) {
        return;
    }
    if (!net_eq(&remote, &g->remote)) {
        g->remote = remote;
        media_set_remote(g->media, &remote);
    }
    if (!may_send) {
        media_stop(g->media); /* on hold */
    } else if (media_start(g->media) != E_OK) {
        say_warn(g->say, "the voice cannot go on after hold");
    }
}
