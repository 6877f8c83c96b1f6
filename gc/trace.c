/* The ladder: call records, and one ring of octets that holds the entries of all of them. */
#include "gc/trace.h"

#include <pthread.h>
#include <string.h>

#include "base/laes.h"
#include "base/mem.h"

#define RING_MIN     4096
#define CALLS_MAX    65534
#define OCTETS_MAX   16384 /* of one message; longer ones are cut */
#define NOTE_MAX     512
#define ENTRIES_MAX  512 /* of one call that are given out: the lock is held meanwhile */
#define ALIGN        16u
#define NO_ENTRY     UINT64_MAX
#define NO_SLOT      UINT32_MAX
#define MAC_MIN_HEX  16 /* "mac=" before fewer digits is something else */
#define KEYMGMT_TEXT "a=key-mgmt"

/* Offsets into the ring only grow; offset modulo size is the place. An entry is whole as long as
 * nothing was written a ring's length behind it. */
struct entry {
    uint64_t prev, next; /* of the same call; NO_ENTRY */
    uint64_t at_us;
    struct net_addr from, to;
    uint32_t text_n, note_n, octets_n; /* octets first, then the note; the text is their start */
    uint8_t mac;
};

enum slot_list { LIST_LIVE, LIST_ENDED };

struct slot {
    struct trace_call call;
    uint64_t first_hash, second_hash; /* of id and Call-ID: most comparisons end here */
    uint64_t last;                    /* newest entry */
    uint32_t older, newer;            /* in its list */
    uint16_t generation;
    uint8_t list;
    bool used;
};

struct trace {
    pthread_mutex_t lock;
    const struct clock *clock;
    uint16_t worker;
    size_t size;
    uint64_t head; /* next free offset */
    uint8_t *ring;
    uint32_t n;
    struct slot *slot;
    uint32_t oldest[2], newest[2]; /* by slot_list */
};

const char *trace_mac_name(enum trace_mac m)
{
    static const char *const names[] = {"none", "ok",     "bad",  "replay",
                                        "psk",  "digest", "made", "-"};

    return (unsigned)m < sizeof names / sizeof names[0] ? names[m] : "-";
}

const char *trace_state_name(enum trace_state s)
{
    static const char *const names[] = {"trying", "ringing", "answered", "ended"};

    return (unsigned)s < sizeof names / sizeof names[0] ? names[s] : "?";
}

/* ---- what must not be kept ---------------------------------------------------------------------
 */
static void stars(char *p, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        p[i] = '*';
    }
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool ends_line(char c)
{
    return c == '\r' || c == '\n';
}

/* What matters in a line stands round one of these; a table, since every octet asks it. */
static const bool is_mark[256] = {['\r'] = true, ['\n'] = true, ['='] = true, [':'] = true};

/* Whether a line's octets before `at` end with that word, whatever its case. */
static bool is_behind(const char *line, size_t at, struct view word)
{
    return at >= word.n && view_eq_nocase(view_from(line + at - word.n, word.n), word);
}

/* Behind "mac=" at `from`: digits of a MAC, quoted or not. Returns where they end. */
static size_t hide_mac(char *p, size_t from, size_t n)
{
    size_t to = from;

    if (to < n && p[to] == '"') {
        from = ++to;
    }
    while (to < n && is_hex(p[to])) {
        to++;
    }
    if (to - from >= MAC_MIN_HEX) {
        stars(p, from, to);
    }
    return to;
}

/* Whether the rest of the line behind the mark at `at` is key material: of "k=", "a=key-mgmt:",
 * "inline:". It ends with its line: whatever a peer puts behind the key is not worth the risk. */
static bool begins_key(const char *line, size_t at)
{
    if (line[at] == '=') {
        return at == 1 && (line[0] == 'k' || line[0] == 'K');
    }
    return is_behind(line, at, VIEW("inline")) ||
           (at == sizeof KEYMGMT_TEXT - 1 && is_behind(line, at, VIEW(KEYMGMT_TEXT)));
}

static size_t line_end(const char *p, size_t at, size_t n)
{
    while (at < n && !ends_line(p[at])) {
        at++;
    }
    return at;
}

void trace_hide_keys(char *p, size_t n)
{
    size_t line = 0, at = 0, end = 0;

    while (at < n) {
        if (!is_mark[(uint8_t)p[at]]) {
            at++;
        } else if (ends_line(p[at])) {
            line = ++at;
        } else if (begins_key(p + line, at - line)) {
            end = line_end(p, at, n);
            stars(p, at + 1, end);
            at = end;
        } else {
            at = p[at] == '=' && is_behind(p + line, at - line, VIEW("mac"))
                     ? hide_mac(p, at + 1, n)
                     : at + 1;
        }
    }
}

/* ---- lists of records --------------------------------------------------------------------------
 */
static void list_remove(struct trace *t, uint32_t at)
{
    struct slot *s = &t->slot[at];

    if (s->older != NO_SLOT) {
        t->slot[s->older].newer = s->newer;
    } else {
        t->oldest[s->list] = s->newer;
    }
    if (s->newer != NO_SLOT) {
        t->slot[s->newer].older = s->older;
    } else {
        t->newest[s->list] = s->older;
    }
}

static void list_add_newest(struct trace *t, uint32_t at, enum slot_list list)
{
    struct slot *s = &t->slot[at];

    s->list = (uint8_t)list;
    s->newer = NO_SLOT;
    s->older = t->newest[list];
    if (s->older != NO_SLOT) {
        t->slot[s->older].newer = at;
    } else {
        t->oldest[list] = at;
    }
    t->newest[list] = at;
}

static struct slot *slot_of(struct trace *t, trace_ref r)
{
    uint32_t at = (r & 0xFFFF) - 1;
    struct slot *s = r != 0 && at < t->n ? &t->slot[at] : NULL;

    return s != NULL && s->used && s->generation == r >> 16 ? s : NULL;
}

static uint64_t hash_of(struct view v)
{
    uint64_t h = 14695981039346656037ull; /* FNV-1a: only saves comparisons, decides nothing */

    for (size_t i = 0; i < v.n; i++) {
        h = (h ^ (uint8_t)v.p[i]) * 1099511628211ull;
    }
    return h;
}

/* ---- life --------------------------------------------------------------------------------------
 */
enum err trace_new(uint16_t worker, const struct clock *clock, size_t ring_bytes,
                   unsigned max_calls, struct trace **out)
{
    struct trace *t = NULL;

    if (ring_bytes < RING_MIN || max_calls == 0 || max_calls > CALLS_MAX) {
        return FAIL(E_RANGE);
    }
    t = mem_zalloc(sizeof *t);
    if (t == NULL || (t->ring = mem_zalloc(ring_bytes / ALIGN * ALIGN)) == NULL ||
        (t->slot = mem_zalloc_array(max_calls, sizeof *t->slot)) == NULL ||
        pthread_mutex_init(&t->lock, NULL) != 0) {
        if (t != NULL) {
            mem_free(t->ring);
            mem_free(t->slot);
        }
        mem_free(t);
        return FAIL(E_NOMEM);
    }
    t->worker = worker;
    t->clock = clock;
    t->size = ring_bytes / ALIGN * ALIGN;
    t->n = max_calls;
    for (int i = 0; i < 2; i++) {
        t->oldest[i] = NO_SLOT;
        t->newest[i] = NO_SLOT;
    }
    for (uint32_t i = 0; i < max_calls; i++) { /* unused ones are the first to be taken */
        list_add_newest(t, i, LIST_ENDED);
    }
    *out = t;
    return E_OK;
}

void trace_free(struct trace *t)
{
    if (t != NULL) {
        pthread_mutex_destroy(&t->lock);
        mem_free(t->ring);
        mem_free(t->slot);
        mem_free(t);
    }
}

trace_ref trace_begin(struct trace *t, const struct trace_call *c)
{
    uint32_t at = 0;
    trace_ref r = 0;

    pthread_mutex_lock(&t->lock);
    at = t->oldest[LIST_ENDED];
    if (at != NO_SLOT) {
        struct slot *s = &t->slot[at];
        list_remove(t, at);
        s->generation++;
        s->used = true;
        s->last = NO_ENTRY;
        s->call = *c;
        s->call.worker = t->worker;
        s->call.id[sizeof s->call.id - 1] = 0;
        s->call.call_id[sizeof s->call.call_id - 1] = 0;
        if (s->call.started_us == 0) {
            s->call.started_us = clock_wall_us(t->clock);
        }
        s->first_hash = hash_of(view_of(s->call.id));
        s->second_hash = hash_of(view_of(s->call.call_id));
        list_add_newest(t, at, LIST_LIVE);
        r = (trace_ref)s->generation << 16 | (at + 1);
    }
    pthread_mutex_unlock(&t->lock);
    return r;
}

/* ---- entries -----------------------------------------------------------------------------------
 */
static bool is_whole(const struct trace *t, uint64_t offset)
{
    return offset != NO_ENTRY && t->head - offset <= t->size;
}

static struct entry *entry_at(struct trace *t, uint64_t offset)
{
    union {
        uint8_t *octets;
        struct entry *entry;
    } u = {.octets = t->ring + offset % t->size}; /* offsets and the ring are aligned */

    return u.entry;
}

/* Room for n octets in one piece. */
static uint64_t take(struct trace *t, size_t n)
{
    size_t left = t->size - (size_t)(t->head % t->size);
    uint64_t at = 0;

    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (left < n) {
        t->head += left;
    }
    at = t->head;
    t->head += n;
    return at;
}

static size_t line_bytes(struct view v)
{
    size_t n = 0;

    while (n < v.n && !ends_line(v.p[n])) {
        n++;
    }
    return n;
}

static void append(struct trace *t, trace_ref r, const struct entry *made, struct view raw,
                   struct view note)
{
    size_t most = t->size / 4 < OCTETS_MAX ? t->size / 4 : OCTETS_MAX;
    struct slot *s = NULL;

    raw = view_sub(raw, 0, most);
    note = view_sub(note, 0, NOTE_MAX);
    pthread_mutex_lock(&t->lock);
    s = slot_of(t, r);
    if (s != NULL) {
        uint64_t at = take(t, sizeof(struct entry) + raw.n + note.n);
        struct entry *e = entry_at(t, at);
        char *octets = (char *)(e + 1);
        *e = *made;
        e->prev = is_whole(t, s->last) ? s->last : NO_ENTRY;
        e->next = NO_ENTRY;
        e->at_us = clock_wall_us(t->clock);
        if (raw.n > 0) {
            memcpy(octets, raw.p, raw.n);
            raw = view_from(octets, laes_cut(octets, raw.n));
            trace_hide_keys(octets, raw.n);
        }
        e->octets_n = (uint32_t)raw.n;
        e->note_n = (uint32_t)note.n;
        e->text_n = (uint32_t)line_bytes(raw);
        if (note.n > 0) {
            memcpy(octets + raw.n, note.p, note.n);
        }
        if (e->prev != NO_ENTRY) {
            entry_at(t, e->prev)->next = at;
        }
        s->last = at;
    }
    pthread_mutex_unlock(&t->lock);
}

void trace_message(struct trace *t, trace_ref r, const struct net_addr *from,
                   const struct net_addr *to, enum trace_mac mac, struct view raw, struct view note)
{
    const struct entry e = {.from = *from, .to = *to, .mac = (uint8_t)mac};

    if (r != 0) {
        append(t, r, &e, raw, note);
    }
}

void trace_note(struct trace *t, trace_ref r, struct view note)
{
    const struct entry e = {.mac = TRACE_MAC_NA};

    if (r != 0) {
        append(t, r, &e, VIEW(""), note);
    }
}

/* ---- the record --------------------------------------------------------------------------------
 */
static void set_text(char *dst, size_t dst_bytes, struct view v)
{
    if (v.n > 0) {
        v = view_sub(v, 0, dst_bytes - 1);
        memcpy(dst, v.p, v.n);
        dst[v.n] = 0;
    }
}

void trace_route(struct trace *t, trace_ref r, struct view routed, struct view route,
                 uint64_t callee_line)
{
    struct slot *s = NULL;

    pthread_mutex_lock(&t->lock);
    s = slot_of(t, r);
    if (s != NULL) {
        set_text(s->call.routed, sizeof s->call.routed, routed);
        set_text(s->call.route, sizeof s->call.route, route);
        s->call.callee_line = callee_line != 0 ? callee_line : s->call.callee_line;
    }
    pthread_mutex_unlock(&t->lock);
}

static void set_name(char dst[64], const char *name)
{
    if (name != NULL) {
        dst[0] = 0;
        set_text(dst, 64, view_of(name));
    }
}

void trace_trunks(struct trace *t, trace_ref r, const char *in, const char *out)
{
    struct slot *s = NULL;

    pthread_mutex_lock(&t->lock);
    s = slot_of(t, r);
    if (s != NULL) {
        set_name(s->call.trunk_in, in);
        set_name(s->call.trunk_out, out);
    }
    pthread_mutex_unlock(&t->lock);
}

/* Under the lock. */
static void set_ended(struct trace *t, struct slot *s)
{
    if (s->list != LIST_ENDED) {
        uint32_t at = (uint32_t)(s - t->slot);
        list_remove(t, at);
        list_add_newest(t, at, LIST_ENDED);
        s->call.ended_us = clock_wall_us(t->clock);
        s->call.state = TRACE_ENDED;
    }
}

void trace_state_set(struct trace *t, trace_ref r, enum trace_state state)
{
    struct slot *s = NULL;

    pthread_mutex_lock(&t->lock);
    s = slot_of(t, r);
    if (s != NULL && s->list == LIST_LIVE) {
        if (state == TRACE_ENDED) {
            set_ended(t, s);
        } else {
            s->call.state = state;
        }
        if (state == TRACE_ANSWERED && s->call.answered_us == 0) {
            s->call.answered_us = clock_wall_us(t->clock);
        }
    }
    pthread_mutex_unlock(&t->lock);
}

void trace_end(struct trace *t, trace_ref r, uint16_t status, const char *end_by)
{
    struct slot *s = NULL;

    pthread_mutex_lock(&t->lock);
    s = slot_of(t, r);
    if (s != NULL) {
        s->call.status = status != 0 ? status : s->call.status;
        set_text(s->call.end_by, sizeof s->call.end_by, view_of(end_by));
        set_ended(t, s);
    }
    pthread_mutex_unlock(&t->lock);
}

/* ---- reading -----------------------------------------------------------------------------------
 */
size_t trace_list(struct trace *t, bool ended, struct trace_call *out, size_t max)
{
    return trace_list_if(t, ended, NULL, NULL, out, max);
}

size_t trace_list_if(struct trace *t, bool ended, trace_fits_fn *fn, const void *arg,
                     struct trace_call *out, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&t->lock);
    for (uint32_t at = t->newest[ended ? LIST_ENDED : LIST_LIVE]; at != NO_SLOT && n < max;
         at = t->slot[at].older) {
        const struct slot *s = &t->slot[at];
        if (s->used && (fn == NULL || fn(arg, &s->call))) {
            out[n++] = s->call;
        }
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

static bool is_call(const struct slot *s, struct view id, uint64_t hash)
{
    return s->used && ((s->first_hash == hash && view_eq(view_of(s->call.id), id)) ||
                       (s->second_hash == hash && view_eq(view_of(s->call.call_id), id)));
}

/* The newest record: a Call-ID may have come twice. */
static struct slot *find(struct trace *t, struct view id)
{
    uint64_t hash = hash_of(id);
    struct slot *best = NULL;

    for (uint32_t i = 0; i < t->n; i++) {
        struct slot *s = &t->slot[i];
        if (is_call(s, id, hash) && (best == NULL || s->call.started_us > best->call.started_us)) {
            best = s;
        }
    }
    return best;
}

static void tell(struct trace *t, const struct slot *s,
                 void (*fn)(void *arg, const struct trace_entry *e), void *arg)
{
    uint64_t at = s->last;
    const struct entry *e = NULL;

    if (!is_whole(t, at)) {
        return;
    }
    for (unsigned i = 1; i < ENTRIES_MAX && is_whole(t, entry_at(t, at)->prev); i++) {
        at = entry_at(t, at)->prev;
    }
    for (; at != NO_ENTRY; at = e->next) {
        const char *octets = NULL;
        e = entry_at(t, at);
        octets = (const char *)(e + 1);
        const struct trace_entry shown = {.at_us = e->at_us,
                                          .from = e->from,
                                          .to = e->to,
                                          .mac = (enum trace_mac)e->mac,
                                          .text = view_from(octets, e->text_n),
                                          .note = view_from(octets + e->octets_n, e->note_n),
                                          .octets = view_from(octets, e->octets_n)};
        fn(arg, &shown);
    }
}

bool trace_find(struct trace *t, struct view id, struct trace_call *out,
                void (*fn)(void *arg, const struct trace_entry *e), void *arg)
{
    const struct slot *s = NULL;

    pthread_mutex_lock(&t->lock);
    s = find(t, id);
    if (s != NULL) {
        *out = s->call;
        if (fn != NULL) {
            tell(t, s, fn, arg);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return s != NULL;
}
