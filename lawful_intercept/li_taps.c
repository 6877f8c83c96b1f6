/* The taps of this machine, each with its calls: what is read of them, and how far. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "lawful_intercept/li_int.h"

enum { BATCH = 512 };

/* ---- where it was ------------------------------------------------------------------------------
 */
static void file_of(const struct li *l, unsigned tap, const char *more, char out[LI_FILE_BYTES])
{
    static const char *const endings[LI_TAPS] = {
        [LI_TAP_CALLS] = "", [LI_TAP_ENROLMENTS] = ".enrolments"};

    snprintf(out, LI_FILE_BYTES, "%s%s%s", l->position_file, endings[tap], more);
}

static void read_position(struct li *l, unsigned tap)
{
    struct tap_position *p = &l->tap[tap].position;
    char file[LI_FILE_BYTES];
    int fd = -1;

    file_of(l, tap, "", file);
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0) {
        if (read(fd, p, sizeof *p) != (ssize_t)sizeof *p) {
            *p = (struct tap_position){{0}, {0}, {0}};
        }
        close(fd);
    }
}

/* Calls of the run before this one; without them they are known as far as the ring reaches. */
static void read_calls(struct li *l, unsigned tap)
{
    struct li_tap *t = &l->tap[tap];
    enum err e = E_OK;

    file_of(l, tap, ".calls", t->calls_file);
    e = li_kept_read(t->calls, t->calls_file);
    if (e != E_OK && e != E_NOTFOUND) {
        LOG(LV_ERROR, "calls.not_read", KV("file", (const char *)t->calls_file), KV_ERR(e));
    }
}

/* ---- reading -----------------------------------------------------------------------------------
 */
/* A tap that was read before is read again from its oldest record, silently up to where it was: so
 * calls that go on are known. */
static void attach(struct li_tap *t)
{
    struct tap_position now;

    if (tap_attach(t->file, &t->reader) != E_OK) {
        t->reader = NULL;
        return;
    }
    tap_position_of(t->reader, &now);
    memset(t->ring_at, 0, sizeof t->ring_at);
    if (memcmp(now.start, t->position.start, sizeof now.start) == 0) {
        memcpy(t->ring_at, t->position.number, sizeof t->ring_at);
    } else { /* calls that a run before this one knew are of another tap */
        li_calls_gone(t->calls, clock_wall_us(clock_system()));
    }
    LOG(LV_INFO, "tap.attached", KV("file", (const char *)t->file));
}

static void take(struct li *l, struct li_tap *t, unsigned ring, const struct tap_record *r,
                 uint64_t number, uint64_t lost)
{
    bool silent = number <= t->ring_at[ring];

    if (lost > 0 && number > t->ring_at[ring] + 1) {
        uint64_t missed = number - 1 - t->ring_at[ring];
        missed = missed < lost ? missed : lost;
        l->counts.lost += missed;
        LOG(LV_ERROR, "tap.lost", KV("file", (const char *)t->file), KV("ring", ring),
            KV("records", missed));
    }
    if (t->enrolled != NULL) {
        li_enrolled_record(t->enrolled, r, silent);
    } else {
        li_calls_record(t->calls, r, silent);
    }
    l->counts.records += !silent;
}

/* True: there was something. */
static bool read_ring(struct li *l, struct li_tap *t, unsigned ring)
{
    struct tap_record r;
    uint64_t number = 0, lost = 0;

    for (unsigned i = 0; i < BATCH; i++) {
        enum err e = tap_next(t->reader, ring, &r, &number, &lost);
        if (e == E_NOTFOUND) {
            return i > 0;
        }
        if (e != E_OK) {
            LOG(LV_ERROR, "tap.damaged", KV("file", (const char *)t->file), KV("ring", ring));
            tap_detach(t->reader);
            t->reader = NULL;
            return false;
        }
        take(l, t, ring, &r, number, lost);
    }
    return true;
}

static bool read_one(struct li *l, struct li_tap *t, bool may)
{
    bool any = false, replaced = false;

    if (t->reader == NULL && may && t->file[0] != 0) {
        attach(t);
    }
    if (t->reader == NULL) {
        return false;
    }
    replaced = tap_is_replaced(t->reader); /* asked first: what is in it then is all there is */
    for (unsigned i = 0; t->reader != NULL && i < tap_rings(t->reader); i++) {
        any = read_ring(l, t, i) || any;
    }
    if (t->reader != NULL && replaced && !any) {
        LOG(LV_INFO, "tap.replaced", KV("file", (const char *)t->file));
        li_calls_gone(t->calls, clock_wall_us(clock_system()));
        if (t->enrolled != NULL) {
            li_enrolled_gone(t->enrolled);
        }
        tap_detach(t->reader);
        t->reader = NULL;
    }
    return any;
}

bool li_taps_read(struct li *l, bool may)
{
    bool any = false;

    for (unsigned i = 0; i < LI_TAPS; i++) {
        any = read_one(l, &l->tap[i], may) || any;
    }
    return any;
}

/* Whether it is behind what was read before the restart. */
static bool is_past(const struct li_tap *t, struct tap_position *at)
{
    tap_position_of(t->reader, at);
    for (unsigned i = 0; i < tap_rings(t->reader); i++) {
        if (at->number[i] < t->ring_at[i]) {
            return false;
        }
    }
    return true;
}

bool li_tap_is_caught_up(const struct li_tap *t)
{
    struct tap_position at;

    return t->reader == NULL || is_past(t, &at);
}

/* What was read is on disk before it counts as read (li_commit.c). */
void li_taps_settle(struct li *l)
{
    struct tap_position at;
    char file[LI_FILE_BYTES];

    for (unsigned i = 0; i < LI_TAPS; i++) {
        struct li_tap *t = &l->tap[i];
        if (t->reader != NULL && is_past(t, &at) && memcmp(&at, &t->position, sizeof at) != 0) {
            t->position = at;
            file_of(l, i, "", file);
            li_commit_offer(l, i, file, &t->position, sizeof t->position);
        }
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */
enum err li_taps_open(struct li *l, const struct li_cfg *cfg)
{
    const char *const files[LI_TAPS] = {
        [LI_TAP_CALLS] = cfg->tap, [LI_TAP_ENROLMENTS] = cfg->tap_enrolments};
    const struct li_calls_cfg calls = {
        .element = cfg->element, .key = cfg->key, .sink = li_sink_of(l)};
    struct li_enrolled_cfg enrolled = {.n_keys = cfg->n_enrolment_keys};
    enum err e = E_OK;

    for (unsigned i = 0; i < LI_TAPS; i++) {
        struct li_tap *t = &l->tap[i];
        TRY(view_to_cstr(view_of(files[i] != NULL ? files[i] : ""), t->file, sizeof t->file));
        TRY(li_calls_new(&calls, &t->calls));
        read_position(l, i);
        read_calls(l, i);
    }
    enrolled.calls = l->tap[LI_TAP_ENROLMENTS].calls;
    enrolled.gates = l->tap[LI_TAP_CALLS].calls;
    enrolled.keys = l->enrolment_keys;
    TRY(li_enrolled_new(&enrolled, &l->tap[LI_TAP_ENROLMENTS].enrolled));
out:
    return e;
}

void li_taps_close(struct li *l)
{
    for (unsigned i = 0; i < LI_TAPS; i++) {
        tap_detach(l->tap[i].reader);
        li_enrolled_free(l->tap[i].enrolled);
        li_calls_free(l->tap[i].calls);
    }
}
