/* Spools and deliveries of the orders. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "lawful_intercept/li_int.h"

enum { NAME_BYTES = 80 };

static const char *const channel_names[LI_CHANNELS] = {"cdc", "x2"};

struct li_place_run *li_place_of(struct li *l, uint64_t order, enum li_channel channel)
{
    for (size_t i = 0; i < l->n_places; i++) {
        if (l->place[i]->order == order && l->place[i]->channel == channel) {
            return l->place[i];
        }
    }
    return NULL;
}

static void name_of(const struct li_entry *entry, enum li_channel channel, char out[NAME_BYTES])
{
    char xid[2 * LI_XID_BYTES + 1];

    hex_put(entry->order.xid, sizeof entry->order.xid, xid);
    snprintf(out, NAME_BYTES, "%s-%s", xid, channel_names[channel]);
}

static void close_place(struct li_place_run *p, unsigned linger_ms)
{
    li_delivery_stop(p->delivery, linger_ms);
    spool_close(p->spool);
    mem_free(p);
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
    char name[NAME_BYTES], folder[LI_PATH_BYTES + NAME_BYTES];
    struct spool_cfg cfg = {
        .folder = folder, .name = name, .key = l->key, .max_bytes = l->cfg.spool_bytes};
    struct spool_facts facts;
    void *v = NULL;
    enum err e = E_OK;

    if (p == NULL) {
        return FAIL(E_NOMEM);
    }
    p->order = entry->order.id;
    p->channel = channel;
    p->channel_name = channel_names[channel];
    p->opened_us = clock_wall_us(clock_system());
    p->to = *to;
    name_of(entry, channel, name);
    snprintf(folder, sizeof folder, "%s/%s", l->spool, name);
    TRY(spool_open(&cfg, &p->spool));
    spool_facts_of(p->spool, &facts);
    p->sequence = (uint32_t)(facts.next - 1); /* goes on where the run before this one stopped */
    TRY(start_delivery(l, p, name, to));
    v = mem_resize(l->place, (l->n_places + 1) * sizeof(struct li_place_run *));
    if (v == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    l->place = v;
    l->place[l->n_places++] = p;
    p = NULL;
out:
    if (p != NULL) {
        LOG(LV_ERROR, "place.failed", KV("place", (const char *)name), KV_ERR(e));
        close_place(p, 0);
    }
    return e;
}

/* While an order runs and for an hour after; later only until all is delivered. */
static bool is_wanted(const struct li_entry *entry, const struct li_place_run *p, uint64_t now_us)
{
    struct spool_facts f;
    uint64_t end = entry->order.ends_us;
    const char *ended = json_string_value(json_object_get(entry->json, "ended_at"));

    if (!entry->is_active && ended == NULL) {
        return false;
    }
    if (ended != NULL) {
        IGNORE(li_time_read(ended, &end) ? E_OK : E_PARSE, "then the order's own end counts");
    }
    if (now_us < end + LI_KEPT_S * 1000000ull) {
        return true;
    }
    if (p == NULL) {
        return false;
    }
    spool_facts_of(p->spool, &f);
    return f.done + 1 < f.next;
}

static void follow_order(struct li *l, const struct li_entry *entry, uint64_t now_us)
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
        if (p == NULL && places[i]->is_set && is_wanted(entry, NULL, now_us)) {
            IGNORE(open_place(l, entry, (enum li_channel)i, places[i]), "logged; tried again");
        }
    }
}

/* Two officers gave the agency another address: NULL: they did not. */
static const struct li_place *moved_to(const struct li *l, const struct li_place_run *p)
{
    const struct li_entry *entry = li_book_order(l->book, p->order);
    const struct li_agency *agency = entry != NULL ? li_book_agency(l->book, entry->agency) : NULL;
    const struct li_place *to = NULL;

    if (agency == NULL) {
        return NULL;
    }
    to = p->channel == LI_CHANNEL_X2 ? &agency->x2 : &agency->cdc;
    return to->is_set &&
                   (!net_eq(&to->to, &p->to.to) || to->is_plain != p->to.is_plain ||
                    to->is_counted != p->to.is_counted || strcmp(to->tls_name, p->to.tls_name) != 0)
               ? to
               : NULL;
}

/* The spool stays; what of it is not settled goes to the new address. */
static enum err move_place(struct li *l, struct li_place_run *p, const struct li_place *to)
{
    const struct li_entry *entry = li_book_order(l->book, p->order);
    char name[NAME_BYTES];
    enum err e = E_OK;

    li_delivery_stop(p->delivery, 0);
    p->delivery = NULL;
    p->to = *to;
    name_of(entry, p->channel, name);
    e = start_delivery(l, p, name, to);
    if (e != E_OK) {
        LOG(LV_ERROR, "place.failed", KV("place", (const char *)name), KV_ERR(e));
    }
    return e;
}

static void follow_moves(struct li *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        const struct li_place *to = moved_to(l, p);
        if (to != NULL && move_place(l, p, to) != E_OK) {
            close_place(p, 0); /* an order that runs opens it again */
        } else {
            l->place[kept++] = p;
        }
    }
    l->n_places = kept;
}

void li_places_follow(struct li *l, uint64_t now_us)
{
    size_t kept = 0;

    follow_moves(l);
    for (size_t i = 0; i < li_book_orders(l->book); i++) {
        follow_order(l, li_book_order_at(l->book, i), now_us);
    }
    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        const struct li_entry *entry = li_book_order(l->book, p->order);
        if (entry != NULL && is_wanted(entry, p, now_us)) {
            l->place[kept++] = p;
        } else {
            close_place(p, 0);
        }
    }
    l->n_places = kept;
}

void li_places_sync(struct li *l)
{
    for (size_t i = 0; i < l->n_places; i++) {
        struct li_place_run *p = l->place[i];
        if (p->is_dirty) {
            enum err e = spool_sync(p->spool);
            if (e != E_OK) {
                LOG(LV_ERROR, "spool.sync_failed", KV("order", p->order), KV_ERR(e));
            }
            p->is_dirty = false;
            li_delivery_wake(p->delivery);
        }
    }
}

/* Alarms: 47 CFR 1.20007 wants call data within 8 s. What waits is what the agency's TCP never had,
 * connection or not. */
static void alarm(const struct li *l, struct li_place_run *p, const struct li_delivery_facts *d,
                  const struct spool_facts *f, uint64_t now_us)
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
    if (f->lost > p->lost_shown) {
        LOG(LV_ERROR, "spool.lost", KV("order", p->order), KV("channel", p->channel_name),
            KV("records", f->lost - p->lost_shown));
        p->lost_shown = f->lost;
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
        li_delivery_facts_of(p->delivery, &d);
        spool_facts_of(p->spool, &f);
        waits = d.oldest_us != 0 && now_us > d.oldest_us ? (now_us - d.oldest_us) / 1000 : 0;
        c->places_down += !d.is_up;
        c->sent += d.sent;
        c->spool_lost += f.lost;
        c->waiting_ms = waits > c->waiting_ms ? waits : c->waiting_ms;
        alarm(l, p, &d, &f, now_us);
    }
}

void li_places_close(struct li *l, unsigned linger_ms)
{
    for (size_t i = 0; i < l->n_places; i++) {
        close_place(l->place[i], linger_ms);
    }
    mem_free(l->place);
    l->place = NULL;
    l->n_places = 0;
}
