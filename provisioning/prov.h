/* provisioning/prov.h - what the parts of the daemon headgate-prov share.
 *
 * Parts      prov_main (process), control (TCP connections and their limits), enrolment (control
 *            channel joined with the 611 call), voice (the call: SIP, SRTP, prompts, digits),
 *            sessions (later session requests). All on one loop, one thread.
 * Lifetimes  a conn or a voice that ended is marked dead at once and freed by a timer, so that no
 *            callback frees what its caller still holds. */
#ifndef PROVISIONING_PROV_H
#define PROVISIONING_PROV_H

#include "base/health.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/pg.h"
#include "base/redis.h"
#include "provisioning/gates.h"
#include "provisioning/lockout.h"
#include "provisioning/orders.h"
#include "provisioning/prompts.h"
#include "provisioning/settings.h"
#include "provisioning/tapping.h"
#include "signaling/sip_ua.h"

struct conn;
struct voice;

#define OUTCOMES "headgate_prov_enrolments_total"
#define PROV_METERS(X)                                                                             \
    X(ENROLLED, OUTCOMES, "outcome=\"enrolled\"", "Enrolments by outcome")                         \
    X(AGAIN, OUTCOMES, "outcome=\"again\"", "Enrolments by outcome")                               \
    X(SPENT, OUTCOMES, "outcome=\"spent\"", "Enrolments by outcome")                               \
    X(NO_ORDER, OUTCOMES, "outcome=\"no_order\"", "Enrolments by outcome")                         \
    X(REVOKED, OUTCOMES, "outcome=\"revoked\"", "Enrolments by outcome")                           \
    X(LOCKED, OUTCOMES, "outcome=\"locked\"", "Enrolments by outcome")                             \
    X(ADDRESS, OUTCOMES, "outcome=\"address\"", "Enrolments by outcome")                           \
    X(REFUSED, OUTCOMES, "outcome=\"protocol\"", "Enrolments by outcome")                          \
    X(GIVEN_UP, OUTCOMES, "outcome=\"given_up\"", "Enrolments by outcome")                         \
    X(UNAVAILABLE, OUTCOMES, "outcome=\"unavailable\"", "Enrolments by outcome")                   \
    X(S_OK, "headgate_prov_sessions_total", "outcome=\"ok\"", "Session requests by outcome")       \
    X(S_REVOKED, "headgate_prov_sessions_total", "outcome=\"revoked\"",                            \
      "Session requests by outcome")                                                               \
    X(S_BARRED, "headgate_prov_sessions_total", "outcome=\"barred\"",                              \
      "Session requests by outcome")                                                               \
    X(S_STALE, "headgate_prov_sessions_total", "outcome=\"stale\"", "Session requests by outcome") \
    X(S_UNKNOWN, "headgate_prov_sessions_total", "outcome=\"unknown\"",                            \
      "Session requests by outcome")                                                               \
    X(S_REFUSED, "headgate_prov_sessions_total", "outcome=\"protocol\"",                           \
      "Session requests by outcome")                                                               \
    X(S_UNAVAILABLE, "headgate_prov_sessions_total", "outcome=\"unavailable\"",                    \
      "Session requests by outcome")                                                               \
    X(HALF_OPEN, "headgate_prov_half_open", NULL, "Control connections that proved nothing yet")   \
    X(CALLS, "headgate_prov_calls", NULL, "611 calls under way")                                   \
    X(TAKEN, "headgate_prov_connections_total", NULL, "Control connections taken")                 \
    X(TURNED_AWAY, "headgate_prov_connections_refused_total", NULL,                                \
      "Control connections past a limit")                                                          \
    X(WRONG_TRY, "headgate_prov_wrong_tries_total", NULL, "Work orders keyed in wrongly")          \
    X(SRTP_BAD, "headgate_prov_auth_failures_total", "reason=\"srtp\"", "Failed authentications")  \
    X(RTP_SOURCE, "headgate_prov_auth_failures_total", "reason=\"rtp_source\"",                    \
      "Failed authentications")                                                                    \
    X(SIP_SOURCE, "headgate_prov_auth_failures_total", "reason=\"sip_source\"",                    \
      "Failed authentications")

#define PROV_METER_ENUM(id, name, labels, help) PM_##id,
enum prov_meter { PROV_METERS(PROV_METER_ENUM) PM_COUNT };
#undef PROV_METER_ENUM

struct prov {
    struct loop *loop;
    struct prov_settings set;
    struct prov_keys *keys;
    struct prov_identity *identity;
    struct gates gates;
    struct prompts prompts;
    struct lockout *lockout;
    struct enrol_out *out; /* scratch for one frame; wiped after each use */
    struct pg *pg;
    struct redis *redis;
    struct sip_transport *sip;
    struct sip_ua *ua;
    struct metrics *metrics;
    unsigned meter[PM_COUNT];
    struct health *health;
    struct net_addr control_address, rtp_address;
    int control_fd;
    struct loop_io *control_io;
    struct conn *conns;   /* all, dead ones too until reaped */
    struct voice *voices; /* the same */
    struct loop_timer reaper, heartbeat, drain;
    char to_tag[17];
    bool draining;
    struct tap *tap; /* NULL: none */
    uint8_t tap_key[P256_POINT_BYTES];
};

void prov_count(struct prov *p, enum prov_meter m, int64_t by);
bool prov_ready(const struct prov *p); /* may take enrolments: database up, not draining */
void prov_reap_soon(struct prov *p);   /* frees the dead when no callback runs */
void prov_check_drained(struct prov *p);

/* ---- control.c ---------------------------------------------------------------------------------
 */
struct job; /* a query whose answer a conn waits for */

struct conn {
    struct prov *prov;
    struct conn *next;
    int fd;
    struct loop_io *io;
    struct loop_timer timer;
    struct net_addr peer;
    uint8_t *in, *out;
    size_t in_n, in_max, out_n, out_sent;
    bool half_open, lingering, dead;
    struct prov_identity *identity;
    struct enrol_ps *enrol; /* one of the two, from the first frame on */
    struct session_ps *session;
    struct job *job; /* NULL: not waiting */
    struct voice *voice;
    unsigned tries_left;
    bool accepted; /* a work order was; digest is its */
    uint8_t digest[SHA256_BYTES];
    struct tapped_keys tapped;
};

MUST_CHECK enum err control_open(struct prov *p);
void control_close(struct prov *p); /* listening and all connections */
void control_reap(struct prov *p);
void conn_send(struct conn *c, struct view octets);
/* What is queued still goes out; then closed. The conn must not be used by the caller after. */
void conn_end(struct conn *c);
void conn_deadline(struct conn *c, uint64_t ms);
void conn_proved(struct conn *c); /* no longer half-open */
void conn_events(struct conn *c); /* what to wait for, after job changed */
void conn_resume(struct conn *c); /* the job is done: go on with what was buffered */
/* Sends prov->out, wipes it, and ends the conn when the machine has ended. */
void conn_flush_out(struct conn *c);

/* ---- enrolment.c, sessions.c -------------------------------------------------------------------
 */
void enrolment_frame(struct conn *c, struct view frame);
void enrolment_digits(struct conn *c, struct view digits); /* a whole work order, '#' was pressed */
void enrolment_refuse(struct conn *c, enum wire_code code, enum prov_meter outcome);
void session_frame(struct conn *c, struct view frame);

/* A query on behalf of a conn: fn gets c NULL when the conn has gone meanwhile. */
typedef void job_fn(struct prov *p, struct conn *c, void *extra, enum err e,
                    const struct pg_result *r);
struct job {
    struct prov *prov;
    struct conn *conn; /* NULL: gone */
    job_fn *fn;
    void *extra; /* of extra_bytes, wiped and freed with the job; NULL */
    size_t extra_bytes;
};
/* extra: mem_zalloc() memory that the job takes over also on failure. */
MUST_CHECK enum err job_query(struct conn *c, const char *sql, const struct pg_param *params,
                              size_t n, job_fn *fn, void *extra, size_t extra_bytes);
void job_forget(struct conn *c); /* the conn dies */

/* ---- voice.c -----------------------------------------------------------------------------------
 */
void voice_on_call(void *prov, struct sip_call *call, enum sip_call_event ev, unsigned status,
                   const struct sip_msg *m);
struct voice *voice_find(struct prov *p, const char *call_id);
struct voice *voice_of(struct prov *p, struct view call_id);
/* E_DENIED: the addresses do not agree. E_EXISTS: the call has its control channel. */
MUST_CHECK enum err voice_attach(struct voice *v, struct conn *c);
void voice_detach(struct voice *v);                                            /* its conn ended */
MUST_CHECK enum err voice_secure(struct voice *v, const struct audio_keys *k); /* and 200 OK */
void voice_say(struct voice *v, enum prompt which);
void voice_end(struct voice *v, bool after_prompts); /* BYE, or a refusal before the answer */
void voice_reap(struct prov *p);
struct voice *voice_next(const struct voice *v);
/* As the tap has it; lives as long as v. */
const struct tapped_call *voice_tapped(const struct voice *v);

#endif
