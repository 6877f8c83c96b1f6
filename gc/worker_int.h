/* gc/worker_int.h - what the files of a worker share; nobody else includes it, tests excepted.
 *
 * Way        intake.c (limiter, framer, owner) -> authenticate.c (proof) -> request.c / response in
 *            context_answer.c -> setup.c, dialog.c, page.c, registrar.c -> forward.c (edits,
 * sealing). Seams      struct worker_seams: a test gives its own snapshot, send and CDR sink,
 * drives the loop by loop_advance() and feeds messages by worker_rx(). A daemon leaves them NULL.
 * Threads    everything here belongs to the worker's thread, but what is marked. */
#ifndef GC_WORKER_INT_H
#define GC_WORKER_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "authz/nonces.h"
#include "base/hlist.h"
#include "base/log.h"
#include "base/loop.h"
#include "gc/limits.h"
#include "gc/meters.h"
#include "gc/queue.h"
#include "gc/worker.h"
#include "signaling/sip_edit.h"
#include "signaling/sip_locate.h"
#include "signaling/sip_transport.h"
#include "signaling/sip_txn.h"
#include "signaling/sip_uri.h"

enum {
    SEAL_ROOM = 256,         /* what sealing adds at most */
    OUT_MAX = SIP_MAX_BYTES, /* the next hop's framer takes no more */
    TAG_MAX = SIP_MAX_TAG + 4,
    USERNAME_MAX = LOCATION_USERNAME_MAX,
    TARGETS_MAX = 8,
    ROUTE_MAX = 512,
    CONTROL_TEXT_MAX = 400, /* id and reason of workers_end_call() */
    TABLE_HEADS = 16384,    /* of the tables of calls and legs */
    PARK_HEADS = 1024,
    RETRY_AFTER_S = 5,
    REGION_COUNTS = 16,
    TICK_MS = 100 /* of each worker */
};

/* ---- proof -------------------------------------------------------------------------------------
 */
enum party_kind {
    PARTY_STRANGER, /* known by its address only: callers of 611 and emergency numbers */
    PARTY_BTI,      /* known by its key */
    PARTY_PHONE,    /* known by Digest credentials of a line */
    PARTY_GATEWAY,  /* known by an address that the configuration, a trunk or a route names, or by
                       its certificate */
    PARTY_PS
};

struct phone_way { /* a flow, as far as it tells one peer from another */
    enum sip_proto proto;
    struct net_addr remote;
    uint16_t worker;
    uint64_t conn;
};

struct party {
    enum party_kind kind;
    uint8_t kid[BTI_KID_BYTES], bti[BTI_ID_BYTES]; /* PARTY_BTI, PARTY_PHONE of a session */
    uint64_t line;                                 /* PARTY_BTI, PARTY_PHONE */
    uint64_t credential; /* PARTY_PHONE: 0 when it is derived from a BTI's session (kid, bti) */
    char username[USERNAME_MAX]; /* PARTY_PHONE */
    uint8_t algorithm;           /* PARTY_PHONE: enum digest_algorithm */
    struct phone_way way;        /* PARTY_PHONE: where it proved itself last, or registered from */
    uint64_t trunk; /* PARTY_GATEWAY: of struct trunk; 0: of the configuration or a plain route */
    bool is_certified;  /* trunk: known by its certificate, and by nothing less */
    bool is_doubted;    /* trunk: what it asserts of callers counts for nothing */
    bool is_outside;    /* trunk: private identities do not go to it */
    struct net_addr ip; /* its port means nothing */
};

enum proof_class { PROOF_UNKNOWN, PROOF_PROVEN, PROOF_TRUSTED };

struct proof {
    enum proof_class class;
    struct party who;
    bool is_bad;    /* there was a MAC, and it did not hold */
    bool is_repeat; /* its number was seen before */
    bool has_mac;   /* a BTI speaks: there is a BTI-MAC, good or bad, or its key's connection */
    bool is_stale;  /* Digest: the nonce is not good any more, ask with a new one */
    bool asks_none; /* ACK, CANCEL or a response: a phone cannot be asked for proof here */
    enum trace_mac mac;
    enum meter failure; /* METER_AUTH_*, when class is PROOF_UNKNOWN */
};

struct inbound { /* one message on its way */
    const struct sip_msg *m;
    struct sip_flow flow;
    struct proof proof;
    uint64_t fingerprint;
    uint64_t at_us; /* mono, for METER_SETUP_TIME */
};

/* ---- objects -----------------------------------------------------------------------------------
 */
struct ctx;
struct call;

struct target { /* one place to send a request to */
    struct party who;
    struct sip_flow flow;
    uint16_t q; /* parallel ones of the same preference are tried together, higher ones first */
    char uri[LOCATION_URI_MAX]; /* new Request-URI; empty: as it is */
    char route[ROUTE_MAX];      /* value of a Route header; empty: none */
    bool is_down;      /* it did not answer when it was asked last: for emergency calls only */
    uint64_t route_id; /* of struct route: its channels are counted; 0: none */
    uint32_t route_channels;
};

enum naming { /* how one side knows the caller (identity.h) */
              NAMED_AS_SENT,
              NAMED_SHOWN,
              NAMED_ANONYMOUS
};

enum leg_kind { LEG_PROXY, LEG_BYE, LEG_PING, LEG_TRUNK };

struct leg { /* one request that we sent; lives as long as its transactions */
    struct hlink by_branch, in_ctx;
    struct worker *w;
    struct ctx *ctx;           /* LEG_PROXY */
    unsigned ping;             /* LEG_PING: index of the server */
    struct trunk_state *trunk; /* LEG_TRUNK: whose address is asked */
    struct trunk_place *place;
    unsigned target;      /* LEG_PROXY: which of the context's */
    unsigned hop;         /* LEG_PROXY: how often the call had been forwarded when it left */
    bool has_credentials; /* ours, for a trunk that asked for them */
    enum naming naming;   /* LEG_PROXY: under which its request left */
    enum leg_kind kind;
    struct party who;
    struct sip_ctxn *txn; /* NULL: over */
    unsigned refs;        /* its transaction, and that of its CANCEL */
    bool is_provisional, wants_cancel, is_cancelled, is_timed_out;
    bool is_passed_over; /* a later target was tried: its end does not count any more */
    bool is_final;
    unsigned breadth; /* of Max-Breadth that its request carries; 0: over, or none */
    struct loop_timer patience;
    char branch[SIP_BRANCH_MAX];
};

/* ---- the worker --------------------------------------------------------------------------------
 */
struct worker_seams {
    const struct snapshot *(*snapshot)(void *arg);
    enum err (*send)(void *arg, const struct sip_flow *to, struct view octets);
    bool (*cdr)(void *arg, const struct cdr *c);
    void (*mirror)(void *arg, const struct binding *b, bool removed);
    sip_locate_query_fn *dns;
    enum err (*line_ask)(void *arg, const struct line_ask *ask);
    void *arg;
};

/* The configuration in force and what was made of it; SIGHUP puts another in its place. Immutable
 * but for what is marked; counted. A worker goes from each to its `next`, so that it misses none.
 */
struct gc_live {
    atomic_uint holds;
    struct gc_live *_Atomic next; /* held */
    struct gc_settings set;
    struct gc_plan plan;
    struct conf *conf; /* texts of set; NULL: main's own */
    unsigned n_own;    /* listeners with their real ports: written until the threads start */
    struct gc_listen own[GC_LISTEN_MAX];
    unsigned n_retired; /* addresses that calls may still name us by */
    struct gc_listen retired[GC_LISTEN_MAX];
    struct tls_ctx *tls_server, *tls_client; /* NULL: none; the transports hold their own */
    unsigned n_workers;
    int *fd; /* [worker * GC_LISTEN_MAX + listener]: each worker takes its own; -1: none */
};

struct ps_health { /* written by worker 0, read by all */
    _Atomic bool healthy;
    _Atomic uint64_t last_answer_us;
    _Atomic uint32_t missed;
};

struct region_count { /* of an emergency mode: its calls without priority, counted a moment ago */
    uint64_t mode, until_ms;
    size_t n;
};

struct worker {
    struct workers *ws;
    struct gc_live *live; /* held; on_tick() moves on to a newer one: nothing of it may be kept */
    const struct gc_settings *set; /* of live */
    const struct gc_plan *plan;    /* of live */
    uint16_t index;
    struct loop *loop;
    struct sip_transport *transport; /* NULL: the send seam */
    struct sip_txn_layer *txns;
    struct trace *trace;
    struct tap_ring *tap; /* NULL: none */
    struct queue *queue;
    struct loop_wake *wake;
    struct loop_timer tick, ping_timer;
    uint64_t ticks;
    uint64_t swept;      /* generation of the snapshot by which phones were last looked at */
    unsigned sweep_left; /* parts of the location table still to look at (worker 0) */
    pthread_t thread;
    const struct snapshot *snap; /* NULL: not looked at since the last tick */
    struct hlink *calls[TABLE_HEADS], *legs[TABLE_HEADS], *setups[TABLE_HEADS];
    size_t n_calls, n_usages;
    size_t n_routine; /* calls without priority: emergency modes limit them */
    struct region_count regions[REGION_COUNTS]; /* emergency_mode.c */
    _Atomic size_t shown_calls;
    _Atomic uint64_t follows; /* of store_generation(): no older snapshot is used here */
    _Atomic unsigned reloads; /* of the workers' reloads: how many it has gone by */
    uint64_t call_counter, draws;
    uint64_t sent_us;                 /* spent on sending, of the message on its way */
    struct hlink *parked[PARK_HEADS]; /* park.c */
    size_t n_parked;
    uint64_t tickets;
    struct trunk_index *sources; /* trunk_in.c; NULL: not made yet */
    struct leg *ping[GC_PS_MAX];
    struct sip_msg framed;         /* of the message on its way */
    char plain[SIP_MAX_BYTES];     /* its octets, when they came folded */
    const struct inbound *current; /* the response on its way; NULL: none */
    struct sip_edit edit;
    char crossed[TRACE_TEXT_MAX]; /* rules that the message in out met: a note for its ladder */
    char out[OUT_MAX];
    uint8_t record[QUEUE_RECORD_MAX];
};

struct workers {
    struct workers_cfg cfg;
    struct worker_seams seam;
    struct store *store;
    struct limits *limits;
    struct trunks *trunks;
    struct last_calls *last_calls;
    struct holdings *holdings;
    struct emergency_modes *modes; /* in force, as worker 0 saw them last */
    struct sip_peers *peers;       /* what certificates proved, by sip_flow.peer */
    struct nonces *nonces;
    struct secret *sealed; /* key of authz/sealed.h, in locked memory */
    unsigned meter_base;
    uint8_t key[16];   /* owner of a Call-ID, tags, loop part of branches */
    char start_id[20]; /* of this start, in CDR ids */
    pthread_mutex_t live_lock;
    struct gc_live *live; /* the newest; under live_lock but for main, which alone replaces it */
    _Atomic unsigned reloads;
    _Atomic bool draining;
    struct ps_health ps[GC_PS_MAX];
    unsigned n;
    unsigned n_started; /* threads that run */
    struct worker *w[64];
};

enum record_kind {
    RECORD_MESSAGE,   /* octets that came in by flow */
    RECORD_SEND,      /* octets to leave by flow, a connection of the reader's */
    RECORD_CLOSED,    /* flow is gone */
    RECORD_END_CALL,  /* id NUL reason */
    RECORD_END_ALL,   /* calls, at the end of a drain */
    RECORD_CLOSE_KID, /* flow.kid */
    RECORD_PARK,      /* ticket, then the answer that it waits for (park.h) */
    RECORD_PREEMPT    /* preempt.c */
};

struct record { /* head of what stands in a worker's queue; octets follow */
    enum record_kind kind;
    bool is_datagram;
    uint16_t origin; /* RECORD_SEND: the worker that asked */
    struct sip_flow flow;
};

/* worker.c */
enum err worker_find_psk(void *workers, struct view identity, struct secret *out_psk);
MUST_CHECK enum err workers_new_with(const struct workers_cfg *cfg, const struct worker_seams *seam,
                                     struct workers **out); /* seam NULL: none */

/* worker_turn.c: for the transport, the wake and the timers of the loop. arg: the worker */
void worker_on_rx(void *arg, const struct sip_rx *rx);
void worker_on_closed(void *arg, const struct sip_flow *flow, enum err why);
void worker_on_wake(void *arg);
void worker_on_ping(void *arg);
void worker_on_tick(void *arg);
void worker_let_go(struct worker *w); /* of the snapshot of this turn */

/* worker_tools.c */
/* Any thread. False: the queue is full. */
bool worker_post(struct worker *to, const struct record *head, struct view octets);
const struct snapshot *worker_snapshot(struct worker *w); /* may be NULL: nothing known yet */
void meter(struct worker *w, enum meter which);
void meter_by(struct worker *w, enum meter which, int64_t by);
/* A histogram: the time since since_us (worker_mono_us()); returns the time now. */
uint64_t meter_lap(struct worker *w, enum meter which, uint64_t since_us);
uint64_t worker_mono_us(const struct worker *w);
/* A message to the collector of gc/hep.h, when there is one. */
void worker_show(struct worker *w, const struct sip_flow *flow, bool is_out, struct view octets);
/* Sends now: by our sockets, or by the worker that owns the connection. */
MUST_CHECK enum err worker_send(struct worker *w, const struct sip_flow *to, struct view octets);
/* Opens or finds a connection of ours for stream targets; UDP needs none. */
MUST_CHECK enum err worker_reach(struct worker *w, enum sip_proto proto, const struct net_addr *to,
                                 struct sip_flow *out);
/* TLS to a server that must prove one of names by its certificate (RFC 5922): E_STATE: no tls.ca.
 */
MUST_CHECK enum err worker_reach_named(struct worker *w, const struct net_addr *to,
                                       const struct tls_names *names, struct sip_flow *out);
/* The verified identities of the peer on that flow; E_NOTFOUND: it proved none by certificate. */
MUST_CHECK enum err worker_peer_names(const struct worker *w, const struct sip_flow *flow,
                                      struct tls_names *out);
/* Our address as a peer on that flow should name it. */
struct net_addr worker_address(const struct worker *w, const struct sip_flow *flow);
bool worker_is_us(const struct worker *w, const struct sip_uri *uri); /* domain or an address */
uint64_t worker_now_us(const struct worker *w);                       /* wall */
uint64_t worker_hash(const struct worker *w, struct view v);
/* Where weights decide: a number that nobody outside can foresee. */
uint64_t worker_draw(struct worker *w);

/* reload.c */
MUST_CHECK enum err live_new(const struct gc_settings *set, const struct gc_plan *plan,
                             struct gc_live **out);
struct gc_live *live_hold(struct gc_live *l);
void live_free(struct gc_live *l); /* lets go; NULL is fine */
/* The contexts of l: what cred has (NULL: none), and PSKs by find_psk. */
MUST_CHECK enum err live_tls(struct workers *ws, struct gc_live *l, const struct tls_cred *cred);
struct limits_cfg limits_of(const struct gc_settings *set);
void worker_follow(struct worker *w); /* to the newest configuration; at each tick */

/* intake.c */
void worker_rx(struct worker *w, const struct sip_rx *rx);
void worker_rx_own(struct worker *w, const struct sip_flow *flow, struct view raw,
                   bool is_datagram); /* this worker owns the Call-ID */

/* authenticate.c */
void authenticate(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                  struct proof *out);
/* Whether the sender of a message is that party (in dialogs, CANCEL, responses). */
bool is_party(const struct party *p, const struct proof *proof, const struct sip_flow *flow);
/* Puts the proof for `to` into a message that is ready otherwise; nothing for others than BTIs.
 * E_NOTFOUND: its session is over. */
MUST_CHECK enum err seal(struct worker *w, const struct party *to, char *buf, size_t buf_bytes,
                         size_t *n);
/* The same for responses: when that session is over, under the one by which the BTI registered. */
MUST_CHECK enum err seal_any(struct worker *w, const struct party *to, char *buf, size_t buf_bytes,
                             size_t *n);
bool is_bti(const struct party *p);
bool is_line(const struct party *p); /* proven as a line: a BTI or a phone */
/* Whether a message of that flow is a peer's without any proof of its own: a provisioning server, a
 * trunk, or a gateway that the configuration names. */
bool is_peer_flow(struct worker *w, const struct sip_flow *flow, struct party *out);

/* digest.c: phones */
/* Looks for Digest credentials of our realm in a request that carries no BTI-MAC. False: there are
 * none; else *p is filled in, for better or worse. */
bool digest_authenticate(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                         struct proof *p);
/* "Digest ..." challenges for our realm, a header field each. */
void digest_challenges(struct worker *w, const struct inbound *in, const char *header,
                       struct sip_text *t);
struct phone_way way_of(const struct sip_flow *flow);
bool is_same_way(const struct phone_way *way, const struct sip_flow *flow);
/* Whether the database (or the session behind it) still gives that phone its line. */
bool phone_is_good(struct worker *w, const struct party *phone);

/* challenge.c: answers without a context */
void challenge(struct worker *w, const struct inbound *in);
/* To a sender with proof: through a server transaction; else stateless and limited. */
void answer(struct worker *w, const struct inbound *in, unsigned status, const char *reason,
            struct view extra);
/* 503 without a transaction, for a proven line that asks too much. */
void answer_busy(struct worker *w, const struct inbound *in);
void answer_malformed(struct worker *w, const struct sip_rx *rx, const struct sip_msg *m,
                      const char *why);
/* A response of ours into w->out, sealed for `to`; returns its length, 0 when it cannot be made. */
size_t make_response(struct worker *w, const struct sip_msg *m, const struct sip_flow *flow,
                     const struct party *to, unsigned status, const char *reason,
                     struct view extra);

/* request.c */
void request_in(struct worker *w, struct inbound *in);
void ask_again(struct worker *w, const struct inbound *in); /* a nonce count that came before */
/* What the Request-URI asks for. */
struct dialled dialled_of(const struct worker *w, struct view uri);
/* What it is about: digits in the context that they count in, or the URN. False: nothing of it. */
bool dialled_keys(const struct worker *w, struct view uri, char *dst, size_t dst_bytes);
/* RFC 3261 section 16.3; false: answered already. */
bool check_request(struct worker *w, const struct inbound *in, bool is_emergency);
/* Whether the proven line may have one more transaction; false: answered already. Requests that end
 * something, and all of emergency calls, always may. */
bool check_line_rate(struct worker *w, const struct inbound *in, bool is_emergency);
void no_dialog(struct worker *w, const struct inbound *in); /* 407 or 481 */
bool check_extensions(struct worker *w, const struct inbound *in, enum sip_hdr_id id); /* 420 */

/* forward.c */
#define ASSERTED_MAX      256
#define FORWARD_EXTRA_MAX 8
struct forwarding {
    const struct sip_msg *m;
    struct party from;
    struct sip_flow from_flow;
    const struct target *to;
    const char *branch;                /* NULL: no Via of ours (never for requests) */
    const char *record_route;          /* call id; NULL: none */
    const char *asserted;              /* value of P-Asserted-Identity; NULL or empty: none */
    unsigned breadth;                  /* Max-Breadth to write; 0: leave */
    bool keeps_keys;                   /* emergency: media keys pass whatever the hops are */
    const struct session_timer *timer; /* NULL: none */
    const char *credentials;           /* header line for a trunk that asked for it; NULL: none */
    const char *from_addr; /* name-addr for From, its parameters stay; NULL: as it stands */
    const char *to_addr;   /* the same for To */
    const char *contact; /* URI for Contact, and what else could name the sender goes; NULL: none */
    bool is_private;     /* "Privacy: id" is written, whatever was there */
    bool shows_none;     /* no P-Asserted-Identity, whoever wrote it */
    bool drops_identity; /* its Identity headers go no further */
    const char *date;    /* value of Date; NULL: as it stands */
    unsigned n_extra;
    const char *extra[FORWARD_EXTRA_MAX]; /* header lines of ours: "Name: value" */
};
#define CHALLENGES_MAX 8
#define CHALLENGE_TEXT 384
struct challenges { /* collected for one response (RFC 3261 section 16.7 step 7) */
    unsigned n;
    struct {
        enum sip_hdr_id id;
        char value[CHALLENGE_TEXT];
    } c[CHALLENGES_MAX];
};
struct passing { /* one response on its way up */
    const struct sip_msg *m;
    const struct party *from, *to;
    const struct sip_flow *from_flow, *to_flow;
    bool keeps_keys;
    const struct challenges *more; /* NULL: none */
    unsigned session_s;            /* Session-Expires to add (RFC 4028 section 8.2); 0: none */
    const struct sip_msg *request; /* as its sender wrote it: its From and To go back; NULL: as they
                                      come */
    const char *asserted;          /* P-Asserted-Identity of who answers; NULL or empty: none */
    const char *contact;           /* as in struct forwarding */
};
/* Both leave the sealed message in w->out. E_RANGE: too large. */
MUST_CHECK enum err forward_request(struct worker *w, const struct forwarding *f, size_t *out_n);
MUST_CHECK enum err forward_response(struct worker *w, const struct passing *p, size_t *out_n);
MUST_CHECK enum err branch_new(struct worker *w, const struct sip_msg *m, char out[SIP_BRANCH_MAX]);
bool is_loop(const struct worker *w, const struct sip_msg *m);
bool has_media_keys(const struct sip_msg *m);
bool may_carry_keys(const struct sip_flow *from, const struct sip_flow *to);

/* setup.c */
void setup_in(struct worker *w, const struct inbound *in);
/* Contacts of a line that can be reached from here. */
unsigned targets_of_line(struct worker *w, uint64_t line_id, struct target *out, unsigned max);
/* A binding of that very BTI, for when its own connection or session is gone. */
bool target_of_bti(struct worker *w, const struct party *bti, struct target *out);
struct target target_of_binding(const struct binding *b);

/* page.c: requests outside of dialogs that are no INVITE */
void page_in(struct worker *w, const struct inbound *in);
void options_in(struct worker *w, const struct inbound *in);
extern const struct view allow_header; /* "Allow: ...\r\n" */

/* registrar.c */
void register_in(struct worker *w, const struct inbound *in);
/* Each tick: what phones registered with credentials that were taken away meanwhile goes. */
void registrar_sweep(struct worker *w);
void registrar_conn_closed(struct worker *w, const struct sip_flow *flow);

/* trunk_in.c */
struct trunk;
struct party trunk_party(const struct trunk *t, const struct net_addr *ip);
bool trunk_of_flow(struct worker *w, const struct sip_flow *flow, struct party *out);

/* trunk_out.c */
enum { TRUNK_URI_MAX = 270 };
struct trunk_ask {
    const struct trunk *trunk;
    const char *number; /* as the trunk wants it; NULL: the Request-URI stays as it is */
    uint64_t route_id;
    uint32_t route_channels;
    bool is_emergency;
};
const struct trunk *trunk_row(struct worker *w, uint64_t trunk_id); /* NULL: removed, or 0 */
void trunk_host_uri(struct view host, uint16_t port, char out[TRUNK_URI_MAX]); /* "sip:host:port" */
/* Request-URI of a number at a gateway. False: it does not fit. */
bool number_uri(char out[LOCATION_URI_MAX], const char *number, const char *host);
/* A name-addr of ours with its number in the trunk's form; t NULL: as it is. */
void trunk_present(const struct worker *w, const struct trunk *t, const char *asserted,
                   char out[ASSERTED_MAX]);
/* The value of P-Asserted-Identity for where f goes; empty: none. */
void trunk_asserted(struct worker *w, const struct forwarding *f, char out[ASSERTED_MAX]);
/* Addresses of the trunk for one call, best first. 0: none is usable, or it is disabled. */
unsigned trunk_targets(struct worker *w, const struct trunk_ask *ask, struct target *out,
                       unsigned max);
/* As worker_reach(); over TLS the trunk must prove its name. */
MUST_CHECK enum err trunk_reach(struct worker *w, struct target *t);
/* The call goes over t's trunk and route now, and over no other any more. E_FULL, E_DENIED: too
 * many calls, or too many new ones; E_NOMEM. */
struct call;
MUST_CHECK enum err trunk_enter(struct call *c, const struct target *t);
/* The limits that hold for this call; row NULL: none of a trunk. */
struct trunk_room;
struct trunk_room trunk_room_of(const struct call *c, const struct trunk *row,
                                uint32_t route_channels);
/* The same for a call that came from a trunk. */
MUST_CHECK enum err trunk_admit(struct call *c, bool always);
/* A request that makes no call, from or to that party: E_DENIED: too many of its trunk this second.
 */
MUST_CHECK enum err trunk_pass(struct worker *w, const struct party *who);
void trunk_leave(struct call *c);
/* A call there timed out or could not be sent. */
void trunk_failed(struct worker *w, const struct party *who, const struct net_addr *address);

/* trunk_auth.c */
enum { CREDENTIALS_MAX = 1600 };
/* The header line that answers a 401 or 407 of the trunk to that request. uri: its Request-URI
 * there; empty: the request's own. E_NOTFOUND: nothing that we can answer; E_AUTH: the password
 * does not open; E_RANGE: it would be too long; E_CRYPTO. */
MUST_CHECK enum err trunk_credentials(struct worker *w, const struct trunk *t,
                                      const struct sip_msg *challenge,
                                      const struct sip_msg *request, const char *uri,
                                      char out[CREDENTIALS_MAX]);

/* trunks.c, trunks_health.c: worker 0 */
void trunks_start(struct worker *w); /* before the threads run */
void trunks_stop(struct worker *w);
void trunks_tick(struct worker *w); /* each second */
/* Each tick: a trunk that a new snapshot brings is asked for at once, not at the next second. */
void trunks_follow(struct worker *w);
void trunks_answer(struct leg *leg, unsigned status);
void trunks_ping_gone(struct leg *leg);

/* provisioning_pool.c */
enum { OWN_CALL_ID = 40 };
/* A Call-ID whose answers come back to this worker. */
MUST_CHECK enum err own_call_id(const struct worker *w, char out[OWN_CALL_ID]);
/* OPTIONS into w->out; 0: it does not fit. */
size_t options_write(struct worker *w, const struct sip_flow *flow, const char *uri,
                     const char *branch, const char *call_id);
/* Healthy servers, the one for this Call-ID first. */
unsigned pool_targets(struct worker *w, struct view call_id, struct target *out, unsigned max);
void pool_tick(struct worker *w);                   /* worker 0, each ps_ping_ms */
void pool_answer(struct leg *leg, unsigned status); /* of a question; may end the leg */
void pool_free(struct worker *w);
/* Worker 0: the list of servers is another one. */
void pool_changed(struct worker *w, const struct gc_plan *old);

/* park.c */
void park_take(struct worker *w, struct view record); /* of a RECORD_PARK */
void park_free(struct worker *w); /* at the end of the worker, when all calls are over */

/* dialog.c: requests inside dialogs */
void dialog_request_in(struct worker *w, const struct inbound *in);
void ack_in(struct worker *w, const struct inbound *in);

#endif
