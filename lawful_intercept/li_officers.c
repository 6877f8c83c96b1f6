/* What officers do: enter, approve, refuse, end, look. Every act is in their log, or did not
 * happen. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "lawful_intercept/book_int.h"
#include "lawful_intercept/li_int.h"

static const char *const id_names[] = {[LI_ITEM_AGENCY] = "agency", [LI_ITEM_ORDER] = "order"};

/* Into the database, then into the book; the other nodes read it there. One act at a time; the tap
 * is read meanwhile, however long the database takes. */
static enum err store(struct li *l, enum li_kind kind, const json_t *item, const json_t *was,
                      const char *who, const char *action)
{
    enum err e =
        li_store_write(l->cfg.store, kind, li_number(item, id_names[kind]), item, was, who, action);

    TRY(e);
    pthread_mutex_lock(&l->lock);
    e = kind == LI_ITEM_AGENCY ? li_book_load_agency(l->book, item)
                               : li_book_load_order(l->book, item);
    atomic_store(&l->directory_known, false);
    atomic_store(&l->book_changed, true);
    pthread_mutex_unlock(&l->lock);
out:
    return e;
}

static json_t *form_of(struct li *l, enum li_kind kind, const json_t *form, const char *who,
                       json_t *errors)
{
    uint64_t now_us = clock_wall_us(clock_system());
    json_t *made = NULL;

    pthread_mutex_lock(&l->lock);
    made = kind == LI_ITEM_AGENCY ? li_form_agency(l->book, form, who, now_us, errors)
                                  : li_form_order(l->book, form, who, now_us, errors);
    pthread_mutex_unlock(&l->lock);
    return made;
}

json_t *li_enter(struct li *l, enum li_kind kind, const json_t *form, const char *who,
                 json_t *errors, enum err *e)
{
    json_t *made = NULL;

    pthread_mutex_lock(&l->officers);
    made = form_of(l, kind, form, who, errors);
    if (made != NULL) {
        *e = store(l, kind, made, NULL, who,
                   kind == LI_ITEM_AGENCY ? "agency entered" : "order entered");
    } else {
        *e = json_array_size(errors) > 0 ? E_PARSE : E_NOMEM;
        IGNORE(li_store_note(l->cfg.store, who, "form refused", id_names[kind]),
               "nothing was entered");
    }
    pthread_mutex_unlock(&l->officers);
    if (*e != E_OK) {
        json_decref(made);
        made = NULL;
    }
    return made;
}

/* Which field of the order it is that forbids the act. */
static void name_field(const struct li_entry *entry, enum li_act act, enum err e, uint64_t now_us,
                       json_t *errors)
{
    const char *state = li_state_of(entry, now_us);

    if (e == E_DENIED) {
        li_form_wrong(errors, "/entered_by", "is the one who would approve it");
    } else if (act == LI_APPROVE && strcmp(state, "entered") == 0) {
        li_form_wrong(errors, now_us >= entry->order.ends_us ? "/ends_at" : "/agency", "%s",
                      now_us >= entry->order.ends_us ? "the order has expired"
                                                     : "the agency is retired");
    } else {
        li_form_wrong(errors, "/state", "it is %s", state);
    }
}

static bool is_for_nobody(const struct li *l, const struct li_entry *entry)
{
    const struct li_agency *agency = li_book_agency(l->book, entry->agency);

    return agency == NULL || agency->is_retired;
}

json_t *li_act(struct li *l, uint64_t order, enum li_act act, const char *who, const char *reason,
               json_t *errors, enum err *e)
{
    static const char *const words[] = {
        [LI_APPROVE] = "order approved", [LI_REFUSE] = "order refused", [LI_END] = "order ended"};
    const struct li_entry *entry = NULL;
    uint64_t now_us = clock_wall_us(clock_system());
    json_t *made = NULL, *was = NULL;
    char object[40];

    pthread_mutex_lock(&l->officers);
    pthread_mutex_lock(&l->lock);
    entry = li_book_order(l->book, order);
    *e = entry == NULL ? E_NOTFOUND
         : act == LI_APPROVE && is_for_nobody(l, entry)
             ? E_STATE
             : li_act_on(entry, act, who, reason, now_us, &made);
    if (*e == E_STATE || *e == E_DENIED) {
        name_field(entry, act, *e, now_us, errors);
    }
    was = *e == E_OK ? json_deep_copy(entry->json) : NULL;
    pthread_mutex_unlock(&l->lock);
    if (*e == E_OK) {
        *e = was != NULL ? store(l, LI_ITEM_ORDER, made, was, who, words[act]) : E_NOMEM;
    } else if (*e == E_DENIED) {
        snprintf(object, sizeof object, "order:%llu", (unsigned long long)order);
        LOG(LV_WARN, "order.self_approval", KV("order", order));
        IGNORE(li_store_note(l->cfg.store, who, "own order not approved", object),
               "nothing happened");
    }
    pthread_mutex_unlock(&l->officers);
    json_decref(was);
    if (*e != E_OK) {
        json_decref(made);
        made = NULL;
    }
    return made;
}

static void note_own(struct li *l, uint64_t agency, const char *who)
{
    char object[40];

    snprintf(object, sizeof object, "agency:%llu", (unsigned long long)agency);
    LOG(LV_WARN, "agency.self_approval", KV("agency", agency));
    IGNORE(li_store_note(l->cfg.store, who, "own proposal not approved", object),
           "nothing happened");
}

json_t *li_change(struct li *l, uint64_t agency, enum li_agency_act act, const json_t *form,
                  const char *who, json_t *errors, enum err *e)
{
    static const char *const words[] = {[LI_AGENCY_CHANGE] = "change of agency proposed",
                                        [LI_AGENCY_RETIRE] = "end of agency proposed",
                                        [LI_AGENCY_APPROVE] = "proposal for agency approved",
                                        [LI_AGENCY_REFUSE] = "proposal for agency refused"};
    const struct li_agency *a = NULL;
    json_t *made = NULL, *was = NULL;

    pthread_mutex_lock(&l->officers);
    pthread_mutex_lock(&l->lock);
    a = li_book_agency(l->book, agency);
    *e = a == NULL ? E_NOTFOUND
                   : li_agency_act_on(l->book, a, act, form, who, clock_wall_us(clock_system()),
                                      errors, &made);
    was = *e == E_OK ? json_deep_copy(a->json) : NULL;
    pthread_mutex_unlock(&l->lock);
    if (*e == E_OK) {
        *e = was != NULL ? store(l, LI_ITEM_AGENCY, made, was, who, words[act]) : E_NOMEM;
    } else if (*e == E_DENIED) {
        note_own(l, agency, who);
    }
    pthread_mutex_unlock(&l->officers);
    json_decref(was);
    if (*e != E_OK) {
        json_decref(made);
        made = NULL;
    }
    return made;
}

/* ---- looking -----------------------------------------------------------------------------------
 */
static json_t *order_shown(const struct li_entry *entry, uint64_t now_us)
{
    json_t *o = json_deep_copy(entry->json);

    if (o != NULL &&
        json_object_set_new(o, "state", json_string(li_state_of(entry, now_us))) != 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *all_of(struct li *l, enum li_kind kind, uint64_t now_us)
{
    json_t *all = json_array();
    size_t n = kind == LI_ITEM_AGENCY ? li_book_agencies(l->book) : li_book_orders(l->book);

    for (size_t i = 0; all != NULL && i < n; i++) {
        json_t *o = kind == LI_ITEM_AGENCY ? json_deep_copy(li_book_agency_at(l->book, i)->json)
                                           : order_shown(li_book_order_at(l->book, i), now_us);
        if (o == NULL || json_array_append_new(all, o) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

json_t *li_show(struct li *l, enum li_kind kind, uint64_t id, enum err *e)
{
    uint64_t now_us = clock_wall_us(clock_system());
    json_t *shown = NULL;

    pthread_mutex_lock(&l->lock);
    *e = E_OK;
    if (id == 0) {
        shown = all_of(l, kind, now_us);
    } else if (kind == LI_ITEM_AGENCY) {
        const struct li_agency *a = li_book_agency(l->book, id);
        shown = a != NULL ? json_deep_copy(a->json) : NULL;
        *e = a != NULL ? E_OK : E_NOTFOUND;
    } else {
        const struct li_entry *entry = li_book_order(l->book, id);
        shown = entry != NULL ? order_shown(entry, now_us) : NULL;
        *e = entry != NULL ? E_OK : E_NOTFOUND;
    }
    pthread_mutex_unlock(&l->lock);
    if (*e == E_OK && shown == NULL) {
        *e = E_NOMEM;
    }
    return shown;
}

/* What somebody should look at, in the words of the events. */
static json_t *alarms_of(const struct li_place_run *p, const struct li_delivery_facts *d,
                         const struct spool_facts *f)
{
    const struct {
        bool is_on;
        const char *word;
    } all[] = {{p->is_late, "late"},           {p->is_slow && !p->is_late, "slow"},
               {d->is_refused, "certificate"}, {f->lost > 0, "lost"},
               {p->is_refused, "disk"},        {p->is_stuck, "failed"}};
    json_t *v = json_array();

    for (size_t i = 0; v != NULL && i < sizeof all / sizeof all[0]; i++) {
        if (all[i].is_on && json_array_append_new(v, json_string(all[i].word)) != 0) {
            json_decref(v);
            v = NULL;
        }
    }
    return v;
}

static json_t *place_shown(struct li_place_run *p)
{
    struct li_delivery_facts d;
    struct spool_facts f;
    char since[24];

    li_place_facts_of(p, &d, &f);
    li_time_write(d.changed_us, since);
    return json_pack("{s:I,s:s,s:b,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "order",
                     (json_int_t)p->order, "channel", p->channel_name, "up", (int)d.is_up, "since",
                     since, "why", (const char *)d.why, "sent", (json_int_t)d.sent, "spooled",
                     (json_int_t)(f.next - 1), "confirmed", (json_int_t)f.done, "lost",
                     (json_int_t)f.lost, "bytes", (json_int_t)f.bytes, "waiting_ms",
                     (json_int_t)p->waits_ms, "alarms", alarms_of(p, &d, &f));
}

json_t *li_state(struct li *l)
{
    json_t *places = json_array(), *all = NULL;

    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; places != NULL && i < l->n_places; i++) {
        json_t *one = place_shown(l->place[i]);
        if (one == NULL || json_array_append_new(places, one) != 0) {
            json_decref(places);
            places = NULL;
        }
    }
    if (places != NULL) {
        all = json_pack("{s:b,s:b,s:b,s:I,s:I,s:I,s:o}", "tap", (int)l->counts.tap_up, "database",
                        (int)l->counts.store_up, "directory", (int)atomic_load(&l->directory_known),
                        "records", (json_int_t)l->counts.records, "records_lost",
                        (json_int_t)l->counts.lost, "calls", (json_int_t)l->counts.calls,
                        "deliveries", places);
    }
    pthread_mutex_unlock(&l->lock);
    return all;
}
