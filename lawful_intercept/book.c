/* The book of agencies and orders: what is in it. */
#include "lawful_intercept/book.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "lawful_intercept/book_int.h"

struct li_book {
    struct li_agency **agency;
    struct li_entry **order;
    size_t n_agencies, n_orders;
};

enum err li_book_new(struct li_book **out)
{
    *out = mem_zalloc(sizeof **out);
    return *out != NULL ? E_OK : FAIL(E_NOMEM);
}

void li_book_free(struct li_book *b)
{
    if (b == NULL) {
        return;
    }
    for (size_t i = 0; i < b->n_agencies; i++) {
        json_decref(b->agency[i]->json);
        mem_free(b->agency[i]);
    }
    for (size_t i = 0; i < b->n_orders; i++) {
        json_decref(b->order[i]->json);
        mem_free(b->order[i]);
    }
    mem_free(b->agency);
    mem_free(b->order);
    mem_free(b);
}

/* ---- reading -----------------------------------------------------------------------------------
 */
const char *li_text(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

uint64_t li_number(const json_t *o, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(o, name));

    return n > 0 ? (uint64_t)n : 0;
}

static bool two(const char *p, int most, int *out)
{
    *out = is_digit((unsigned char)p[0]) && is_digit((unsigned char)p[1])
               ? (p[0] - '0') * 10 + (p[1] - '0')
               : -1;
    return *out >= 0 && *out <= most;
}

bool li_time_read(const char *text, uint64_t *out_us)
{
    struct tm tm = {0}, back;
    int century = 0, year = 0;
    time_t seconds = 0;

    if (strlen(text) != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
        text[13] != ':' || text[16] != ':' || text[19] != 'Z' || !two(text, 99, &century) ||
        !two(text + 2, 99, &year) || !two(text + 5, 12, &tm.tm_mon) ||
        !two(text + 8, 31, &tm.tm_mday) || !two(text + 11, 23, &tm.tm_hour) ||
        !two(text + 14, 59, &tm.tm_min) || !two(text + 17, 59, &tm.tm_sec)) {
        return false;
    }
    tm.tm_year = century * 100 + year - 1900;
    tm.tm_mon--;
    back = tm;
    seconds = timegm(&back);
    if (seconds <= 0 || back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon) {
        return false;
    }
    *out_us = (uint64_t)seconds * 1000000;
    return true;
}

void li_time_write(uint64_t us, char out[24])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm = {0};

    out[0] = 0;
    if (gmtime_r(&seconds, &tm) != NULL) {
        IGNORE(strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0 ? E_OK : E_RANGE, "years of four");
    }
}

bool li_place_read(const json_t *o, struct li_place *out)
{
    struct li_place p = {.is_set = true};

    if (!json_is_object(o)) {
        *out = (struct li_place){.is_set = false};
        return o == NULL || json_is_null(o);
    }
    p.is_plain = json_is_true(json_object_get(o, "plain"));
    p.is_counted = strcmp(li_text(o, "framing"), "counted") == 0;
    if (net_parse(view_of(li_text(o, "address")), 0, &p.to) != E_OK || p.to.port == 0 ||
        view_to_cstr(view_of(li_text(o, "tls_name")), p.tls_name, sizeof p.tls_name) != E_OK) {
        return false;
    }
    *out = p;
    return true;
}

/* ---- agencies ----------------------------------------------------------------------------------
 */
size_t li_book_agencies(const struct li_book *b)
{
    return b->n_agencies;
}

const struct li_agency *li_book_agency_at(const struct li_book *b, size_t i)
{
    return b->agency[i];
}

const struct li_agency *li_book_agency(const struct li_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->n_agencies; i++) {
        if (b->agency[i]->id == id) {
            return b->agency[i];
        }
    }
    return NULL;
}

enum err li_book_load_agency(struct li_book *b, const json_t *stored)
{
    struct li_agency a = {.id = li_number(stored, "agency"),
                          .version = (uint32_t)li_number(stored, "version")};
    struct li_agency *at = NULL;
    void *v = NULL;

    if (a.id == 0 || !li_place_read(json_object_get(stored, "cdc"), &a.cdc) ||
        !li_place_read(json_object_get(stored, "x2"), &a.x2)) {
        return FAIL(E_PARSE);
    }
    a.is_retired = json_object_get(stored, "retired_at") != NULL;
    for (size_t i = 0; i < b->n_agencies; i++) {
        at = b->agency[i]->id == a.id ? b->agency[i] : at;
    }
    if (at == NULL) {
        at = mem_zalloc(sizeof *at);
        v = at != NULL ? mem_resize(b->agency, (b->n_agencies + 1) * sizeof(struct li_agency *))
                       : NULL;
        if (v == NULL) {
            mem_free(at);
            return FAIL(E_NOMEM);
        }
        b->agency = v;
        b->agency[b->n_agencies++] = at;
    }
    a.json = json_deep_copy(stored);
    json_decref(at->json);
    *at = a;
    return a.json != NULL ? E_OK : FAIL(E_NOMEM);
}

/* ---- orders ------------------------------------------------------------------------------------
 */
size_t li_book_orders(const struct li_book *b)
{
    return b->n_orders;
}

struct li_entry *li_book_order_at(const struct li_book *b, size_t i)
{
    return b->order[i];
}

/* Where it is, or would be: they stand by their number. */
static size_t slot_of(const struct li_book *b, uint64_t id)
{
    size_t low = 0, high = b->n_orders;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (b->order[mid]->order.id < id) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct li_entry *li_book_order(const struct li_book *b, uint64_t id)
{
    size_t at = slot_of(b, id);

    return at < b->n_orders && b->order[at]->order.id == id ? b->order[at] : NULL;
}

/* NULL: no memory. */
static struct li_entry *insert_order(struct li_book *b, uint64_t id)
{
    size_t at = slot_of(b, id);
    struct li_entry *entry = mem_zalloc(sizeof *entry);
    void *v =
        entry != NULL ? mem_resize(b->order, (b->n_orders + 1) * sizeof(struct li_entry *)) : NULL;

    if (v == NULL) {
        mem_free(entry);
        return NULL;
    }
    b->order = v;
    memmove(b->order + at + 1, b->order + at, (b->n_orders - at) * sizeof(struct li_entry *));
    b->order[at] = entry;
    b->n_orders++;
    entry->order.id = id;
    return entry;
}

bool li_type_read(const char *text, enum li_type *out)
{
    static const struct {
        const char *name;
        enum li_type type;
    } all[] = {{"pen_register", LI_PEN_REGISTER},
               {"trap_and_trace", LI_TRAP_AND_TRACE},
               {"pen_and_trap", LI_PEN_AND_TRAP},
               {"content", LI_CONTENT}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(text, all[i].name) == 0) {
            *out = all[i].type;
            return true;
        }
    }
    return false;
}

/* An address is its number where it is one: a line's, or that of somebody outside. */
static bool read_uri(const char *text, struct li_entry *out)
{
    struct li_order *o = &out->order;
    struct view number;

    if (!li_uri_read(view_of(text), o->uri)) {
        return false;
    }
    snprintf(out->what, sizeof out->what, "%s", o->uri);
    number = li_uri_number(view_of(out->what));
    if (number.n == 0) {
        out->target = LI_TARGET_URI;
        return true;
    }
    out->target = LI_TARGET_NUMBER;
    out->what[number.n] = 0;
    o->uri[0] = 0;
    return view_to_cstr(number, o->number, sizeof o->number) == E_OK;
}

bool li_target_read(const json_t *target, struct li_entry *out)
{
    const char *number = li_text(target, "number"), *bti = li_text(target, "bti"),
               *uri = li_text(target, "sip_uri");

    if (li_number(target, "line") != 0) {
        out->target = LI_TARGET_LINE;
        out->order.line = li_number(target, "line");
        return true;
    }
    if (uri[0] != 0) {
        return read_uri(uri, out);
    }
    out->target = number[0] != 0 ? LI_TARGET_NUMBER : LI_TARGET_BTI;
    snprintf(out->what, sizeof out->what, "%s", number[0] != 0 ? number : bti);
    if (number[0] != 0) {
        return view_to_cstr(view_of(number), out->order.number, sizeof out->order.number) == E_OK;
    }
    return bti[0] != 0;
}

enum err li_book_load_order(struct li_book *b, const json_t *stored)
{
    struct li_entry entry = {.agency = li_number(stored, "agency")};
    struct li_order *o = &entry.order;
    struct li_entry *at = NULL;

    o->id = li_number(stored, "order");
    o->wants_digits = json_is_true(json_object_get(stored, "digits"));
    entry.is_active = strcmp(li_text(stored, "state"), "active") == 0;
    if (o->id == 0 || hex_get(view_of(li_text(stored, "xid")), o->xid, sizeof o->xid) != E_OK ||
        !li_type_read(li_text(stored, "type"), &o->type) ||
        !li_time_read(li_text(stored, "starts_at"), &o->starts_us) ||
        !li_time_read(li_text(stored, "ends_at"), &o->ends_us) ||
        view_to_cstr(view_of(li_text(stored, "case_id")), o->case_id, sizeof o->case_id) != E_OK ||
        !li_target_read(json_object_get(stored, "target"), &entry)) {
        return FAIL(E_PARSE);
    }
    at = li_book_order(b, o->id);
    if (at == NULL) {
        at = insert_order(b, o->id);
        if (at == NULL) {
            return FAIL(E_NOMEM);
        }
    }
    if (entry.target != LI_TARGET_LINE) {
        o->line = at->order.line != 0 ? at->order.line : li_number(stored, "line_at_approval");
    }
    entry.json = json_deep_copy(stored);
    json_decref(at->json);
    *at = entry;
    return entry.json != NULL ? E_OK : FAIL(E_NOMEM);
}

const char *li_state_of(const struct li_entry *entry, uint64_t now_us)
{
    const char *state = li_text(entry->json, "state");

    if (strcmp(state, "active") == 0) {
        return now_us >= entry->order.ends_us    ? "over"
               : now_us < entry->order.starts_us ? "waiting"
                                                 : "active";
    }
    return strcmp(state, "entered") == 0   ? "entered"
           : strcmp(state, "over") == 0    ? "over"
           : strcmp(state, "refused") == 0 ? "refused"
                                           : "unknown";
}
