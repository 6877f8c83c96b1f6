/* A function for each kind of message, and small ones for who, what is heard, and media. */
#include "agency/words.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "signaling/sdp.h"

struct text {
    char *p; /* WORDS_MAX octets */
    size_t n;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *format, ...)
{
    va_list args;
    int n = 0;

    va_start(args, format);
    n = vsnprintf(t->p + t->n, WORDS_MAX - t->n, format, args);
    va_end(args);
    t->n += n < 0 ? 0 : (size_t)n < WORDS_MAX - t->n ? (size_t)n : WORDS_MAX - t->n - 1;
}

void words_clean(struct view v, char *dst, size_t dst_bytes)
{
    size_t n = v.n < dst_bytes ? v.n : dst_bytes - 1;

    for (size_t i = 0; i < n; i++) {
        dst[i] = v.p[i] >= ' ' && v.p[i] <= '~' ? v.p[i] : '?';
    }
    dst[n] = 0;
}

static void put_view(struct text *t, struct view v)
{
    char clean[200];

    words_clean(v, clean, sizeof clean);
    put(t, "%s", clean);
}

void words_of_time(uint64_t us, char out[WORDS_TIME])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    size_t n = 0;

    out[0] = 0;
    if (gmtime_r(&seconds, &tm) != NULL) {
        n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
        snprintf(out + n, WORDS_TIME - n, ".%03uZ", (unsigned)(us / 1000 % 1000));
    }
}

/* ---- who ---------------------------------------------------------------------------------------
 */
static struct view number_of(const struct cdc_party *p)
{
    const struct view all[] = {p->dn, p->user_provided, p->generic_digits, p->generic_address,
                               p->generic_name};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i].n > 0) {
            return all[i];
        }
    }
    return VIEW("");
}

static bool is_there(const struct cdc_party *p)
{
    return number_of(p).n > 0 || p->ip_address.n > 0 || p->trunk_id.n > 0;
}

/* "12125550101 at 192.0.2.1:5060", "somebody over trunk 3". */
static void put_party(struct text *t, const struct cdc_party *p)
{
    put_view(t, number_of(p).n > 0 ? number_of(p) : VIEW("somebody"));
    if (p->trunk_id.n > 0) {
        put(t, " over trunk ");
        put_view(t, p->trunk_id);
    } else if (p->ip_address.n > 0) {
        put(t, " at ");
        put_view(t, p->ip_address);
        if (p->port.n > 0) {
            put(t, ":");
            put_view(t, p->port);
        }
    }
}

static void put_who(struct text *t, const char *before, const struct cdc_party *p)
{
    if (is_there(p)) {
        put(t, "%s", before);
        put_party(t, p);
    }
}

static void put_what(struct text *t, const char *before, struct view v)
{
    if (v.n > 0) {
        put(t, "%s", before);
        put_view(t, v);
    }
}

/* ---- media -------------------------------------------------------------------------------------
 */
static void put_media(struct text *t, const char *whose, struct view description)
{
    const char *why = NULL;
    const struct sdp_media *m = NULL;
    struct sdp s;
    char at[NET_TEXT_MAX];

    if (description.n == 0) {
        return;
    }
    if (sdp_parse(description, &s, &why) == E_OK) {
        m = sdp_find(&s, VIEW("audio"));
    }
    if (m == NULL) {
        put(t, "; %s: a session description without voice that can be read", whose);
        return;
    }
    net_text(&m->address, at);
    put(t, "; %s hears at %s, speaks ", whose, at);
    if (m->n_crypto > 0) {
        put(t, "encrypted (");
        put_view(t, m->crypto[0].suite);
        put(t, "), key given");
    } else if (view_eq_nocase(m->proto, VIEW("RTP/AVP"))) {
        put(t, "unencrypted");
    } else {
        put(t, "encrypted, key not given");
    }
}

static void put_both_media(struct text *t, const struct cdc_message *m)
{
    put_media(t, "the subject", m->subject);
    put_media(t, "the other", m->associate);
}

static void say_open(struct text *t, const struct cdc_message *m)
{
    put(t, "the voice begins");
    put_what(t, ", content ", m->content.both);
    put_both_media(t, m);
}

static void say_change(struct text *t, const struct cdc_message *m)
{
    put(t, "the voice goes another way");
    put_what(t, ", content ", m->content.both);
    put_both_media(t, m);
}

static void say_close(struct text *t, const struct cdc_message *m)
{
    put(t, "the voice ends");
    put_what(t, ", content ", m->content.both);
}

static void say_media(struct text *t, const struct cdc_message *m)
{
    put(t, "the phones agree on voice");
    put_both_media(t, m);
}

/* ---- the way of a call -------------------------------------------------------------------------
 */
static void say_origination(struct text *t, const struct cdc_message *m)
{
    put(t, "the subject ");
    put_party(t, &m->calling);
    put_what(t, " dials ", m->user_input.n > 0 ? m->user_input : m->translation_input);
}

static void say_attempt(struct text *t, const struct cdc_message *m)
{
    put_party(t, &m->calling);
    put(t, " calls the subject");
    put_who(t, " ", &m->called);
    if (m->redirected.times > 0) {
        put(t, "; sent on %u time%s", (unsigned)m->redirected.times,
            m->redirected.times == 1 ? "" : "s");
        put_who(t, ", last by ", &m->redirected.last);
        put_who(t, ", at first to ", &m->redirected.original);
    }
}

static void say_answer(struct text *t, const struct cdc_message *m)
{
    put_party(t, &m->answering);
    put(t, " answers");
}

static void say_release(struct text *t, const struct cdc_message *m)
{
    (void)m;
    put(t, "the call is over");
}

static void say_redirection(struct text *t, const struct cdc_message *m)
{
    put(t, "the call is sent on");
    put_who(t, " from ", &m->redirected_from);
    put_who(t, " to ", &m->redirected_to);
    put_what(t, ", where it is call ", m->related.sequence);
}

static void say_service(struct text *t, const struct cdc_message *m)
{
    put(t, "a service: ");
    put_view(t, m->service);
    put_what(t, ", with call ", m->related.sequence);
}

static void say_digits(struct text *t, const struct cdc_message *m)
{
    put(t, "the subject keys in ");
    put_view(t, m->digits);
}

static void say_subject_signal(struct text *t, const struct cdc_message *m)
{
    put(t, "the subject signals");
    put_what(t, ": dials ", m->signal.dialed);
    put_what(t, ": key ", m->signal.feature_key);
    put_what(t, ": hook flash ", m->signal.flash);
    put_what(t, ": ", m->signal.other);
}

static void put_sets(struct text *t, const char *before, const struct cdc_sets *sets)
{
    for (size_t i = 0; i < sets->n; i++) {
        for (size_t k = 0; k < sets->set[i].n; k++) {
            put(t, "%s", i + k == 0 ? before : ", ");
            put_party(t, &sets->set[i].party[k]);
        }
    }
}

static void say_conference(struct text *t, const struct cdc_message *m)
{
    put(t, "a conference");
    put_sets(t, "; talking: ", &m->communicating);
    put_sets(t, "; gone: ", &m->removed);
    put_sets(t, "; new: ", &m->joined);
}

/* ---- what the subject hears --------------------------------------------------------------------
 */
struct heard {
    uint32_t value;
    const char *words;
};
static const struct heard audible[] = {{1, "dial tone"},
                                       {2, "recall dial tone"},
                                       {3, "the other phone ring"},
                                       {4, "that no line is free"},
                                       {5, "the busy tone"},
                                       {6, "the confirmation tone"},
                                       {8, "the tone of waiting messages"},
                                       {9, "the off-hook warning"},
                                       {10, "that the number does not exist"},
                                       {11, "that it is refused"}};
static const struct heard alerting[] = {{5, "the subject's phone splashes"},
                                        {10, "the subject hears the barge-in tone"}};

static const char *words_for(const struct heard *all, size_t n, uint32_t value, const char *other)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].value == value) {
            return all[i].words;
        }
    }
    return other;
}

static void say_network_signal(struct text *t, const struct cdc_message *m)
{
    const char *between = "";

    if (m->alerting != 0) {
        put(t, "%s",
            words_for(alerting, sizeof alerting / sizeof alerting[0], m->alerting,
                      m->alerting >= CDC_CALL_WAITING && m->alerting < CDC_BARGE_IN
                          ? "the subject hears that a call waits"
                          : "the subject's phone rings"));
        between = "; ";
    }
    if (m->audible != 0) {
        put(t, "%sthe subject hears %s", between,
            words_for(audible, sizeof audible / sizeof audible[0], m->audible, "a tone"));
        between = "; ";
    }
    for (size_t i = 0; i < CDC_DISPLAY; i++) {
        if (m->display.text[i].n > 0) {
            put(t, "%sthe display shows ", between);
            put_view(t, m->display.text[i]);
            between = "; ";
        }
    }
    if (m->other.n > 0 || between[0] == 0) {
        put(t, "%sthe network signals ", between);
        put_view(t, m->other);
    }
}

/* ---- outside -----------------------------------------------------------------------------------
 */
typedef void say_fn(struct text *t, const struct cdc_message *m);

static say_fn *const sayings[] = {
    [CDC_ANSWER] = say_answer,
    [CDC_CCCLOSE] = say_close,
    [CDC_CCOPEN] = say_open,
    [CDC_ORIGINATION] = say_origination,
    [CDC_REDIRECTION] = say_redirection,
    [CDC_RELEASE] = say_release,
    [CDC_TERMINATION_ATTEMPT] = say_attempt,
    [CDC_CCCHANGE] = say_change,
    [CDC_DIALED_DIGITS] = say_digits,
    [CDC_NETWORK_SIGNAL] = say_network_signal,
    [CDC_SUBJECT_SIGNAL] = say_subject_signal,
    [CDC_MEDIA_REPORT] = say_media,
    [CDC_SERVICE_INSTANCE] = say_service,
    [CDC_CONFERENCE_CHANGE] = say_conference,
};

void words_of_call_data(const struct cdc_message *m, char out[WORDS_MAX])
{
    struct text t = {.p = out};
    size_t kind = (size_t)m->kind;

    out[0] = 0;
    if (kind < sizeof sayings / sizeof sayings[0] && sayings[kind] != NULL) {
        sayings[kind](&t, m);
    }
}

void words_of_signaling(const struct x2_pdu *p, char out[WORDS_MAX])
{
    static const char *const from[] = {
        [X2_TO_TARGET] = "to the subject:   ", [X2_FROM_TARGET] = "from the subject: "};
    struct text t = {.p = out};
    struct view line = p->payload;
    size_t end = 0;

    if (view_find(line, '\r', &end) || view_find(line, '\n', &end)) {
        line = view_sub(line, 0, end);
    }
    put(&t, "%s",
        p->direction < sizeof from / sizeof from[0] && from[p->direction] != NULL
            ? from[p->direction]
            : "signaling:        ");
    put_view(&t, line);
}
