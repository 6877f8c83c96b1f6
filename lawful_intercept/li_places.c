/* Spools and deliveries of the orders. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/li_int.h"

enum { NAME_BYTES = 80, FOLDER_BYTES = LI_PATH_BYTES + 80 };
#define LOST_AGAIN_US 60000000ull /* one event for what is lost in a minute */

static const char *const channel_names[LI_CHANNELS] = {"cdc", "x2"};

/* Where it is among the places, or would be: they stand by order and channel. */
static size_t slot_of(const struct li *l, uint64_t order, enum li_channel channel)
{
    size_t low = 0, high = l->n_places;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct li_place_run *p = l->place[mid];
        if (p->order < order || (p->order == order && p->channel < channel)) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct li_place_run *li_place_of(struct li *l, uint64_t order, enum li_channel channel)
{
    size_t at = slot_of(l, order, channel);
    struct li_place_run *p = at < l->n_places ? l->place[at] : NULL;

    return p != NULL && p->order == order && p->channel == channel ? p : NULL;
}

static enum err insert(struct li *l, struct li_place_run *p)
{
    size_t at = slot_of(l, p->order, p->channel);
    void *v = mem_resize(l->place, (l->n_places + 1) * sizeof(struct li_place_run *));

    if (v == NULL) {
        return FAIL(E_NOMEM);
    }
    l->place = v;
    memmove(l->place + at + 1, l->place + at, (l->n_places - at) * sizeof(struct li_place_run *));
    l->place[at] = p;
    l->n_places++;
    return E_OK;
}

static void close_place(struct li_place_run *p, unsigned linger_ms)
{
    li_delivery_stop(p->delivery, linger_ms);
    spool_close(p->spool);
    mem_free(p);
}

/* The disk is full: what an agency has had goes first, whoever's it is; then who owes most, and
 * more than the one who asks, gives its oldest. */
static bool make_room(void *arg, const struct spool *asking, uint64_t bytes)
{
    const struct li *l = arg;
    struct spool *best = NULL;

    for (size_t i = 0; i < l->n_places; i++) {
        struct spool *s = l->place[i]->spool;
        struct spool_facts f;
        if (s == asking) {
            continue;
        }
        spool_facts_of(s, &f);
        if (f.is_spare) {
            return spool_shrink(s);
        }
        if (f.segments > 1 && f.owed > bytes) {
            best = s;
            bytes = f.owed;
        }
    }
    return best != NULL && spool_shrink(best);
}

static void name_of(const struct li *l, const struct li_entry *entry, enum li_channel channel,
                    char name[NAME_BYTES], char folder[FOLDER_BYTES])
{
    char xid[2 * LI_XID_BYTES + 1];

    hex_put(entry->order.xid, sizeof entry->order.xid, xid);
    snprintf(name, NAME_BYTES, "%s-%s", xid, channel_names[channel]);
    snprintf(folder, FOLDER_BYTES, "%s/%s", l->spool, name);
}

static enum err start_delivery(struct li *l, struct li_place_run *p, const char *name,
                               const struct li_place *to)
{
    struct li_delivery_cfg cfg = {.name = name,
                                  .protocol = p->channel == LI_CHANNEL_X2 ? LI_X2
                                              : to->is_counted            ? LI_CDC_COUNTED
                                                                          : LI_CDC_STREAM,
                                  .to = to->to,
                                  .tls = to->is_plain ? NULL : l->cfg.tls,
                                  .spool = p->spool};
    enum err e = E_OK;

    if (!to->is_plain) {
        if (l->cfg.tls == NULL) {
            return FAIL(E_STATE);
        }
        TRY(tls_names_add(&cfg.names, view_of(to->tls_name)));
    }
    TRY(li_delivery_start(&cfg, &p->delivery));
out:
    return e;
}

static enum err open_place(struct li *l, const struct li_entry *entry, enum li_channel channel,
                           const struct li_place *to)
{
    struct li_place_run *p = mem_zalloc(sizeof *p);
    char name[NAME_BYTES], folder[FOLDER_BYTES];
    struct spool_cfg cfg = {.folder = folder,
                            .name = name,
                            .key = l->key,
                            .max_bytes = l->cfg.spool_bytes,
                            .make_room = make_room,
                            .arg = l};
    struct spool_facts facts;
    enum err e = E_OK;

    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    p->order = entry->order.id;
    p->channel = channel;
    p->channel_name = channel_names[channel];
    p->to = *to;
    p->opened_us = clock_wall_us(clock_system());
    name_of(l, entry, channel, name, folder);
    TRY(spool_open(&cfg, &p->spool));
    spool_facts_of(p->spool, &facts);
    p->sequence = (uint32_t)(facts.next - 1); /* goes on where the run before this one stopped */
    TRY(start_delivery(l, p, name, to));
    TRY(insert(l, p));
    p = NULL;
out:
    if (p != NULL) {
        LOG(LV_ERROR, "place.failed", KV("place", (const char *)name), KV_ERR(e));
        close_place(p, 0);
    }
    return e;
}

static bool is_delivered(const struct li_place_run *p)
{
    struct spool_facts f;

    spool_facts_of(p->spool, &f);
    return f.done + 1 >= f.next;
}

/* While an order runs and for an hour after; later only until all is delivered. p NULL: none is
 * open; look: whether a folder of it may lie there from the run before this one. */
static bool is_wanted(const struct li *l, const struct li_entry *entry, enum li_channel channel,
                      const struct li_place_run *p, bool look, uint64_t now_us)
{
    uint64_t end = entry->order.ends_us;
    const char *ended = json_string_value(json_object_get(entry->json, "ended_at"));
    char name[NAME_BYTES], folder[FOLDER_BYTES];

    if (!entry->is_active && ended == NULL) {
        return false;
    }
    if (ended != NULL) {
        IGNORE(li_time_read(ended, &end) ? E_OK : E_PARSE, "then the order's own end counts");
    }
    if (now_us < end + LI_KEPT_S * 1000000ull) {
        return true;
    }
    if (p != NULL) {
        return !is_delivered(p);
    }
    name_of(l, entry, channel, name, folder);
    return look && access(folder, F_OK) == 0;
}

static void follow_order(struct li *l, const struct li_entry *entry, bool look, uint64_t now_us)
{
    const struct li_agency *agency = li_book_agency(l->book, entry->agency);
    const struct li_place *places[LI_CHANNELS];

    if (agency == NULL) {
        return;
    }
    places[LI_CHANNEL_CDC] = &agency->cdc;
    places[LI_CHANNEL_X2] = &agency->x2;
    for (unsigned i = 0; i < LI_CHANNELS; i++) {
        struct li_place_run *p = li_place_of(l, entry->order.id, (enum li_channel)i);
        if (p == NULL && places[i]->is_set &&
            is_wanted(l, entry, (enum li_channel)i, NULL, look, now_us)) {
            IGNORE(open_place(l, entry, (enum li_channel)i, places[i]), "logged; tried again");
        }
    }
}

/* Where its agency takes it now. NULL: nowhere. */
static const struct li_place *place_now(const struct li *l, const struct li_entry *entry,
                                        enum li_channel channel)
{
    const struct li_agency *agency = entry != NULL ? li_book_agency(l->book, entry->agency) : NULL;
    const struct li_place *to = NULL;

    if (agency != NULL) {
        to = channel == LI_CHANNEL_X2 ? &agency->x2 : &agency->cdc;
    }
    return to != NULL && to->is_set ? to : NULL;
}

static bool is_same(const struct li_place *a, const struct li_place *b)
{
    return net_eq(&a->to, &b->to) && a->is_plain == b->is_plain && a->is_counted == b->is_counted &&
           strcmp(a->tls_name, b->tls_name) == 0;
}

/* Another address: what waits goes there, from the same spool, when the old delivery has ended. */
static void move_place(struct li *l, struct li_place_run *p, const struct li_entry *entry,
                       const struct li_place *to)
{
    char name[NAME_BYTES], folder[FOLDER_BYTES];

    if (p->delivery != NULL) {
        li_delivery_ask_stop(p->delivery, 0);
        if (!li_delivery_is_over(p->delivery)) {
            return;
        }
        li_delivery_stop(p->delivery, 0);
        p->delivery = NULL;
    }
    name_of(l, entry, p->channel, name, folder);
    spool_rewind(p->spool);
    if (start_delivery(l, p, name, to) == E_OK) {
        p->to = *to;
    } else if (!p->is_stuck) {
        LOG(LV_ERROR, "place.failed", KV("place", (const char *)name), KV_ERR(E_STATE));
    }
    p->is_stuck = p->delivery == NULL;
}

/* True: it is gone. Nobody waits here for a thread or a disk: it is asked to end, and closed when
 * it has. */
static bool end_place(struct li_place_run *p, bool is_over)
{
    if (p->delivery != NULL) {
        li_delivery_ask_stop(p->delivery, 0);
    }
    if (p->is_syncing || (p->delivery != NULL && !li_delivery_is_over(p->delivery))) {
        return false;
    }
    if (is_over && is_delivered(p)) {
        li_delivery_stop(p->delivery, 0);
        spool_remove(p->spool);
        mem_free(p);
    } else {
        close_place(p, 0);
    }
    return true;
}

void li_places_follow(struct li *l, uint64_t now_us)
{
    size_t kept = 0, orders = li_book_orders(l->book);
    bool look = orders != l->orders_looked_at;

    l->orders_looked_at = orders;
    for (size_t i = 0; i < orders; i++) {
        follow_order(l, li_book_order_at(l->book, i), look, now_us);
    }
    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        const struct li_entry *entry = li_book_order(l->book, p->order);
        const struct li_place *to = place_now(l, entry, p->channel);
        p->is_ending =
            p->is_ending || entry == NULL || !is_wanted(l, entry, p->channel, p, false, now_us);
        if (p->is_ending && end_place(p, entry != NULL)) {
            continue;
        }
        if (!p->is_ending && to != NULL && (p->delivery == NULL || !is_same(to, &p->to))) {
            move_place(l, p, entry, to);
        }
        l->place[kept++] = p;
    }
    l->n_places = kept;
}

void li_places_wake(struct li *l)
{
    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        if (p->has_news && p->delivery != NULL) {
            li_delivery_wake(p->delivery);
        }
        p->has_news = false;
    }
}

void li_place_facts_of(const struct li_place_run *p, struct li_delivery_facts *d,
                       struct spool_facts *f)
{
    *d = (struct li_delivery_facts){.is_up = false};
    if (p->delivery != NULL) {
        li_delivery_facts_of(p->delivery, d);
    }
    spool_facts_of(p->spool, f);
}

/* Alarms: 47 CFR 1.20007 wants call data within 8 s. What waits is what the agency's TCP never had,
 * connection or not. */
static void raise_alarms(const struct li *l, struct li_place_run *p,
                         const struct li_delivery_facts *d, const struct spool_facts *f,
                         uint64_t now_us)
{
    uint64_t since = d->oldest_us > p->opened_us ? d->oldest_us : p->opened_us;
    uint64_t waits = d->oldest_us != 0 && now_us > since ? (now_us - since) / 1000 : 0;
    bool late = waits >= l->cfg.late_ms, slow = waits >= l->cfg.warn_ms;

    if (late && !p->is_late) {
        LOG(LV_ERROR, "delivery.late", KV("order", p->order), KV("channel", p->channel_name),
            KV("ms", waits));
    } else if (slow && !p->is_slow) {
        LOG(LV_WARN, "delivery.slow", KV("order", p->order), KV("channel", p->channel_name),
            KV("ms", waits));
    } else if (!slow && p->is_slow) {
        LOG(LV_INFO, "delivery.in_time", KV("order", p->order), KV("channel", p->channel_name));
    }
    p->is_late = late;
    p->is_slow = slow;
    if (f->lost > p->lost_shown && now_us >= p->lost_shown_us + LOST_AGAIN_US) {
        LOG(LV_ERROR, "spool.lost", KV("order", p->order), KV("channel", p->channel_name),
            KV("records", f->lost - p->lost_shown));
        p->lost_shown = f->lost;
        p->lost_shown_us = now_us;
    }
}

void li_places_watch(struct li *l, uint64_t now_us)
{
    struct li_counts *c = &l->counts;

    c->places = (unsigned)l->n_places;
    c->places_down = 0;
    c->sent = c->spool_lost = c->waiting_ms = 0;
    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        struct li_delivery_facts d;
        struct spool_facts f;
        uint64_t waits = 0;
        li_place_facts_of(p, &d, &f);
        waits = d.oldest_us != 0 && now_us > d.oldest_us ? (now_us - d.oldest_us) / 1000 : 0;
        c->places_down += !d.is_up;
        c->sent += d.sent;
        c->spool_lost += f.lost;
        c->waiting_ms = waits > c->waiting_ms ? waits : c->waiting_ms;
        p->waits_ms = waits;
        raise_alarms(l, p, &d, &f, now_us);
    }
}

void li_places_close(struct li *l, unsigned linger_ms)
{
    for (size_t i = 0; i < l->n_places; i++) { /* all of them linger at the same time */
        if (l->place[i]->delivery != NULL) {
            li_delivery_ask_stop(l->place[i]->delivery, linger_ms);
        }
    }
    for (size_t i = 0; i < l->n_places; i++) {
        close_place(l->place[i], linger_ms);
    }
    mem_free(l->place);
    l->place = NULL;
    l->n_places = 0;
}
