/* gc/trace.h - what happened in each call: the ladder. One trace for each worker; the control
 * thread reads it.
 *
 * Shape      a table of call records (live ones and the last that ended) and one ring of octets
 * that holds the entries of all calls of the worker, oldest overwritten first; each entry points
 * back to the one before it of its call. No allocation for a message. Memory is fixed when the
 * trace is made. Keys       "inline:" key material of RFC 4568 a=crypto lines and k= lines is
 * replaced by '*' before anything is stored; so are the digits of a BTI-MAC's mac. What others say
 * of interception is left out (base/laes.h). Ids        call ids are 16 lower-case hex characters,
 * unique in the node. Threads    begin, message, note, state, end: the worker's. list, find: any.
 * One lock, held for microseconds. */
#ifndef GC_TRACE_H
#define GC_TRACE_H

#include "base/clock.h"
#include "base/net.h"
#include "base/view.h"

#define TRACE_ID_MAX   17 /* octets incl. NUL */
#define TRACE_TEXT_MAX 128

enum trace_mac {
    TRACE_MAC_NONE,
    TRACE_MAC_OK,
    TRACE_MAC_BAD,
    TRACE_MAC_REPLAY,
    TRACE_MAC_PSK,
    TRACE_MAC_DIGEST,
    TRACE_MAC_MADE,
    TRACE_MAC_NA
};
const char *trace_mac_name(enum trace_mac m); /* "none" .. "-" as gc/control.h says */

enum trace_state { TRACE_TRYING, TRACE_RINGING, TRACE_ANSWERED, TRACE_ENDED };
const char *trace_state_name(enum trace_state s);

/* What nobody keeps of a message, overwritten in place: key material and the digits of MACs. */
void trace_hide_keys(char *p, size_t n);

struct trace_call { /* a call record, copied out */
    char id[TRACE_ID_MAX];
    char call_id[256];
    char caller[64];                  /* verified number, or "unproven" */
    char called[64];                  /* digits as dialled */
    char routed[64];                  /* after the dial plan */
    char route[64];                   /* "local", route name, "provisioning", "emergency" */
    char trunk_in[64], trunk_out[64]; /* names; empty: none */
    enum trace_state state;
    uint16_t worker, status;
    char end_by[16];
    uint64_t started_us, answered_us, ended_us; /* wall; 0 = not yet */
    uint64_t caller_line, callee_line;
};

struct trace_entry {
    uint64_t at_us; /* wall */
    struct net_addr from, to;
    enum trace_mac mac;
    struct view text;   /* start line; empty for a note alone */
    struct view note;   /* routing decision; may be empty */
    struct view octets; /* the whole message, cleaned */
};

struct trace;
MUST_CHECK enum err trace_new(uint16_t worker, const struct clock *clock, size_t ring_bytes,
                              unsigned max_calls, struct trace **out);
void trace_free(struct trace *t);

/* Handle of a call's record, held by the worker from begin to end. 0: not traced (table full of
 * live calls): every function then does nothing. */
typedef uint32_t trace_ref;
trace_ref trace_begin(struct trace *t, const struct trace_call *c); /* id as given */
/* One message as it stood on the wire; note may be empty. */
void trace_message(struct trace *t, trace_ref r, const struct net_addr *from,
                   const struct net_addr *to, enum trace_mac mac, struct view raw,
                   struct view note);
void trace_note(struct trace *t, trace_ref r, struct view note);
/* Changes of the record; NULL/empty/0 leave a field as it is. */
void trace_route(struct trace *t, trace_ref r, struct view routed, struct view route,
                 uint64_t callee_line);
/* NULL leaves one as it is, empty: none. */
void trace_trunks(struct trace *t, trace_ref r, const char *in, const char *out);
void trace_state_set(struct trace *t, trace_ref r, enum trace_state s);
void trace_end(struct trace *t, trace_ref r, uint16_t status, const char *end_by);

/* Copies out up to max records, newest first; ended: those that ended, else the live ones. */
size_t trace_list(struct trace *t, bool ended, struct trace_call *out, size_t max);
/* The same of those that fit; fn is called under the lock. */
typedef bool trace_fits_fn(const void *arg, const struct trace_call *c);
size_t trace_list_if(struct trace *t, bool ended, trace_fits_fn *fn, const void *arg,
                     struct trace_call *out, size_t max);
/* By id or Call-ID. fn is called for each entry that is still there, oldest first, under the lock:
 * copy and leave. False: not known here. */
bool trace_find(struct trace *t, struct view id, struct trace_call *out,
                void (*fn)(void *arg, const struct trace_entry *e), void *arg);

#endif
