/* What officers fill in: every field that is missing, wrong or contradicts another is named; and
 * what becomes of orders and agencies, by whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "lawful_intercept/book_int.h"

#define ORDER                                                                                      \
    "{\"agency\":1,\"case_id\":\"CASE 1\",\"type\":\"content\",\"target\":{\"number\":"            \
    "\"+12125550101\"},\"starts_at\":\"2026-11-24T00:00:00Z\",\"ends_at\":\"2026-12-24T00:00:00Z"  \
    "\",\"presented_by\":\"P\",\"signed_by\":\"S\",\"responsible\":\"R\"}"
#define AGENCY                                                                                     \
    "{\"name\":\"blue\",\"contact\":\"duty desk\",\"cdc\":{\"address\":\"192.0.2.1:9900\","        \
    "\"tls_name\":\"cf.example\"}}"
#define TEXT_100                                                                                   \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "890123456789"

static const uint64_t NOW = 1795000000ull * 1000000; /* 2026-11-18 */
static const uint64_t DAY = 86400ull * 1000000;

struct world {
    struct li_book *book;
    json_t *errors;
};

static int make_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    json_t *form = json_loads(AGENCY, 0, NULL), *made = NULL;

    assert_int_equal(li_book_new(&w->book), E_OK);
    w->errors = json_array();
    made = li_form_agency(w->book, form, "anna", NOW, w->errors);
    assert_non_null(made);
    assert_int_equal(li_book_load_agency(w->book, made), E_OK);
    json_decref(made);
    json_decref(form);
    *state = w;
    return 0;
}

static int end_world(void **state)
{
    struct world *w = *state;

    li_book_free(w->book);
    json_decref(w->errors);
    free(w);
    return 0;
}

/* ---- forms -------------------------------------------------------------------------------------
 */
struct wrong {
    const char *form; /* members that are put upon the good form; null takes one away */
    const char *at;   /* the pointer that is named; NULL: the form is good */
};

static json_t *upon(const char *good, const char *patch)
{
    json_t *form = json_loads(good, 0, NULL), *more = json_loads(patch, 0, NULL), *value = NULL;
    const char *key = NULL;

    assert_non_null(form);
    if (more == NULL) {
        fail_msg("no JSON: %s", patch);
    }
    json_object_foreach(more, key, value)
    {
        if (json_is_null(value)) {
            assert_int_equal(json_object_del(form, key), 0);
        } else {
            assert_int_equal(json_object_set(form, key, value), 0);
        }
    }
    json_decref(more);
    return form;
}

static void judge(const struct wrong *want, json_t *made, json_t *errors)
{
    char *said = json_dumps(errors, JSON_COMPACT);
    bool named = false;
    json_t *one = NULL;
    size_t i = 0;

    json_array_foreach(errors, i, one)
    {
        named = named || (want->at != NULL && strcmp(li_text(one, "pointer"), want->at) == 0);
        assert_true(li_text(one, "detail")[0] != 0);
    }
    if (want->at == NULL ? made == NULL || i > 0 : made != NULL || i != 1 || !named) {
        fail_msg("%s: wanted %s, got %s", want->form, want->at != NULL ? want->at : "good", said);
    }
    free(said);
    json_array_clear(errors);
    json_decref(made);
}

static void every_field_of_an_order(void **state)
{
    static const struct wrong all[] = {
        {"{}", NULL},
        {"{\"court\":\"C\",\"docket\":\"D\",\"digits\":true}", NULL},
        {"{\"target\":{\"line\":7}}", NULL},
        {"{\"target\":{\"bti\":\"00112233445566778899aabbccddeeff\"}}", NULL},
        {"{\"target\":{\"number\":\"+442079460100\"},\"type\":\"trap_and_trace\"}", NULL},
        {"{\"target\":{\"sip_uri\":\"sip:+12125550101@h.example\"}}", NULL},
        {"{\"target\":{\"sip_uri\":\"sips:Bob.Jones@[2001:db8::1]:5061;transport=tcp\"}}", NULL},
        /* missing */
        {"{\"agency\":null}", "/agency"},
        {"{\"case_id\":null}", "/case_id"},
        {"{\"type\":null}", "/type"},
        {"{\"target\":null}", "/target"},
        {"{\"starts_at\":null}", "/starts_at"},
        {"{\"ends_at\":null}", "/ends_at"},
        {"{\"presented_by\":null}", "/presented_by"},
        {"{\"signed_by\":null}", "/signed_by"},
        {"{\"responsible\":null}", "/responsible"},
        /* wrong */
        {"{\"agency\":2}", "/agency"},
        {"{\"agency\":\"1\"}", "/agency"},
        {"{\"agency\":-1}", "/agency"},
        {"{\"case_id\":\"\"}", "/case_id"},
        {"{\"case_id\":\"01234567890123456789012345\"}", "/case_id"},
        {"{\"case_id\":\"M\\u00fcller\"}", "/case_id"},
        {"{\"case_id\":7}", "/case_id"},
        {"{\"type\":\"all\"}", "/type"},
        {"{\"type\":7}", "/type"},
        {"{\"presented_by\":\"\"}", "/presented_by"},
        {"{\"signed_by\":\"a\\u0007b\"}", "/signed_by"},
        {"{\"signed_by\":[]}", "/signed_by"},
        {"{\"signed_by\":\"  \"}", "/signed_by"},
        {"{\"responsible\":\"" TEXT_100 TEXT_100 "0\"}", "/responsible"},
        {"{\"court\":5}", "/court"},
        {"{\"docket\":\"" TEXT_100 "0\"}", "/docket"},
        {"{\"digits\":\"yes\"}", "/digits"},
        {"{\"colour\":\"red\"}", "/colour"},
        {"{\"state\":\"active\"}", "/state"},
        {"{\"entered_by\":\"somebody else\"}", "/entered_by"},
        {"{\"xid\":\"00112233445566778899aabbccddeeff\"}", "/xid"},
        {"{\"target\":{}}", "/target"},
        {"{\"target\":\"+12125550101\"}", "/target"},
        {"{\"target\":{\"name\":\"x\"}}", "/target/name"},
        {"{\"target\":{\"line\":0}}", "/target/line"},
        {"{\"target\":{\"line\":\"7\"}}", "/target/line"},
        {"{\"target\":{\"number\":\"12125550101\"}}", "/target/number"},
        {"{\"target\":{\"number\":\"+0125550101\"}}", "/target/number"},
        {"{\"target\":{\"number\":\"+1212555010a\"}}", "/target/number"},
        {"{\"target\":{\"number\":\"+12125550101234567\"}}", "/target/number"},
        {"{\"target\":{\"number\":5}}", "/target/number"},
        {"{\"target\":{\"bti\":\"0011\"}}", "/target/bti"},
        {"{\"target\":{\"sip_uri\":5}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"bob@far.example\"}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"sip:far.example\"}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"sip:bob@\"}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"sip:a&b@far.example\"}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"<sip:bob@far.example>\"}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"sip:2125550101@h.example\"}}", "/target/sip_uri"},
        {"{\"target\":{\"sip_uri\":\"sip:bob@far.example\",\"line\":7}}", "/target"},
        {"{\"target\":{\"bti\":\"zz112233445566778899aabbccddeeff\"}}", "/target/bti"},
        {"{\"starts_at\":\"tomorrow\"}", "/starts_at"},
        {"{\"starts_at\":\"2026-11-24T00:00:00\"}", "/starts_at"},
        {"{\"starts_at\":\"2026-11-24T00:00:00+00:00\"}", "/starts_at"},
        {"{\"ends_at\":\"2027-02-29T00:00:00Z\"}", "/ends_at"},
        {"{\"ends_at\":\"2026-12-24T24:00:00Z\"}", "/ends_at"},
        {"{\"ends_at\":1}", "/ends_at"},
        /* contradictory */
        {"{\"ends_at\":\"2026-11-24T00:00:00Z\"}", "/ends_at"},
        {"{\"ends_at\":\"2026-11-23T00:00:00Z\"}", "/ends_at"},
        {"{\"starts_at\":\"2026-01-01T00:00:00Z\",\"ends_at\":\"2026-02-01T00:00:00Z\"}",
         "/ends_at"},
        {"{\"target\":{\"line\":7,\"number\":\"+12125550101\"}}", "/target"},
        {"{\"type\":\"trap_and_trace\",\"digits\":true}", "/digits"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        json_t *form = upon(ORDER, all[i].form);
        judge(&all[i], li_form_order(w->book, form, "anna", NOW, w->errors), w->errors);
        json_decref(form);
    }
}

static void every_field_of_an_agency(void **state)
{
    static const struct wrong all[] = {
        {"{\"name\":\"green\"}", NULL},
        {"{\"name\":\"green\",\"version\":3}", NULL},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"127.0.0.1:9\",\"plain\":true,\"framing\":"
         "\"counted\"}}",
         NULL},
        {"{\"name\":\"green\",\"cdc\":null,\"x2\":{\"address\":\"[2001:db8::1]:9901\","
         "\"tls_name\":\"cf.example\"}}",
         NULL},
        {"{}", "/name"}, /* there is one */
        {"{\"name\":null}", "/name"},
        {"{\"name\":\"green\",\"contact\":null}", "/contact"},
        {"{\"name\":\"green\",\"cdc\":null}", "/cdc"},
        {"{\"name\":\"\"}", "/name"},
        {"{\"name\":\"" TEXT_100 "\"}", "/name"},
        {"{\"name\":\"green\",\"contact\":\"\"}", "/contact"},
        {"{\"name\":\"green\",\"version\":5}", "/version"},
        {"{\"name\":\"green\",\"version\":\"4\"}", "/version"},
        {"{\"name\":\"green\",\"agency\":1}", "/agency"},
        {"{\"name\":\"green\",\"retired_at\":\"2026-11-24T00:00:00Z\"}", "/retired_at"},
        {"{\"name\":\"green\",\"x2\":\"192.0.2.1:9901\"}", "/x2"},
        {"{\"name\":\"green\",\"cdc\":{\"tls_name\":\"cf.example\"}}", "/cdc/address"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1\",\"tls_name\":\"cf.example\"}}",
         "/cdc/address"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"cf.example:9\",\"tls_name\":\"cf.example\"}}",
         "/cdc/address"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1:9\"}}", "/cdc/tls_name"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1:9\",\"tls_name\":\"*.example\"}}",
         "/cdc/tls_name"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1:9\",\"tls_name\":\"\"}}",
         "/cdc/tls_name"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1:9\",\"tls_name\":\"" TEXT_100
             TEXT_100 TEXT_100 "\"}}",
         "/cdc/tls_name"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1:9\",\"plain\":true}}", "/cdc/plain"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"127.0.0.1:9\",\"plain\":\"yes\"}}",
         "/cdc/plain"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"127.0.0.1:9\",\"plain\":true,\"tls_name\":"
         "\"cf.example\"}}",
         "/cdc/tls_name"},
        {"{\"name\":\"green\",\"cdc\":{\"address\":\"192.0.2.1:9\",\"tls_name\":\"cf.example\","
         "\"framing\":\"xml\"}}",
         "/cdc/framing"},
        {"{\"name\":\"green\",\"x2\":{\"address\":\"192.0.2.1:9\",\"tls_name\":\"cf.example\","
         "\"framing\":\"counted\"}}",
         "/x2/framing"},
        {"{\"name\":\"green\",\"x2\":{\"address\":\"192.0.2.1:9\",\"tls_name\":\"cf.example\","
         "\"port\":9}}",
         "/x2/port"},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        json_t *form = upon(AGENCY, all[i].form);
        judge(&all[i], li_form_agency(w->book, form, "anna", NOW, w->errors), w->errors);
        json_decref(form);
    }
}

/* ---- orders ------------------------------------------------------------------------------------
 */
static struct li_entry *enter(struct world *w, const char *patch)
{
    json_t *form = upon(ORDER, patch);
    json_t *made = li_form_order(w->book, form, "anna", NOW, w->errors);
    struct li_entry *entry = NULL;

    assert_non_null(made);
    assert_int_equal(li_book_load_order(w->book, made), E_OK);
    entry = li_book_order(w->book, li_number(made, "order"));
    assert_non_null(entry);
    json_decref(made);
    json_decref(form);
    return entry;
}

static void what_an_address_stands_for(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *patch, *number, *uri, *what;
        enum li_target target;
    } all[] = {
        {"{\"target\":{\"sip_uri\":\"sip:+12125550101@h.example;user=phone\"}}", "+12125550101", "",
         "+12125550101", LI_TARGET_NUMBER},
        {"{\"target\":{\"sip_uri\":\"SIPS:Bob.J@Far.EXAMPLE:5061\"}}", "", "Bob.J@far.example",
         "Bob.J@far.example", LI_TARGET_URI},
        {"{\"target\":{\"sip_uri\":\"sip:bob@[2001:DB8::1]\"}}", "", "bob@[2001:db8::1]",
         "bob@[2001:db8::1]", LI_TARGET_URI},
    };

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        const struct li_entry *entry = enter(w, all[i].patch);
        assert_string_equal(entry->order.number, all[i].number);
        assert_string_equal(entry->order.uri, all[i].uri);
        assert_string_equal(entry->what, all[i].what);
        assert_int_equal(entry->target, all[i].target);
        assert_int_equal(entry->order.line, 0);
    }
}

static enum err act(struct world *w, const struct li_entry *entry, enum li_act what,
                    const char *who, uint64_t at_us)
{
    json_t *made = NULL;
    enum err e = li_act_on(entry, what, who, "because", at_us, &made);

    if (e == E_OK) {
        assert_int_equal(li_book_load_order(w->book, made), E_OK);
    } else {
        assert_null(made);
    }
    json_decref(made);
    return e;
}

static void an_order_takes_two_officers(void **state)
{
    struct world *w = *state;
    struct li_entry *one = enter(w, "{}"), *two = NULL;

    assert_string_equal(li_state_of(one, NOW), "entered");
    assert_false(one->is_active);
    assert_int_equal(act(w, one, LI_APPROVE, "anna", NOW), E_DENIED);
    assert_int_equal(act(w, one, LI_END, "bert", NOW), E_STATE);
    assert_int_equal(act(w, one, LI_APPROVE, "bert", NOW), E_OK);
    assert_true(one->is_active);
    assert_string_equal(li_state_of(one, NOW), "waiting");
    assert_string_equal(li_state_of(one, one->order.starts_us), "active");
    assert_string_equal(li_state_of(one, one->order.ends_us - 1), "active");
    assert_string_equal(li_state_of(one, one->order.ends_us), "over");
    assert_int_equal(act(w, one, LI_APPROVE, "cecil", NOW), E_STATE);
    assert_int_equal(act(w, one, LI_REFUSE, "cecil", NOW), E_STATE);
    assert_int_equal(act(w, one, LI_END, "anna", one->order.ends_us), E_STATE);
    assert_int_equal(act(w, one, LI_END, "anna", NOW), E_OK);
    assert_string_equal(li_state_of(one, NOW), "over");
    assert_string_equal(li_text(one->json, "ended_by"), "anna");
    assert_string_equal(li_text(one->json, "reason"), "because");
    two = enter(w, "{}");
    assert_int_equal(two->order.id, one->order.id + 1);
    assert_memory_not_equal(one->order.xid, two->order.xid, LI_XID_BYTES);
    assert_int_equal(act(w, two, LI_APPROVE, "bert", two->order.ends_us), E_STATE);
    assert_int_equal(act(w, two, LI_REFUSE, "anna", NOW), E_OK);
    assert_int_equal(act(w, two, LI_APPROVE, "bert", NOW), E_STATE);
}

/* Rows come as they were changed last, on every node in another order. */
static void orders_stand_by_their_number(void **state)
{
    static const uint64_t numbers[] = {7, 2, 9, 4, 1, 8, 2, 9};
    static const uint64_t sorted[] = {1, 2, 4, 7, 8, 9};
    struct world *w = *state;
    json_t *form = upon(ORDER, "{}");
    json_t *made = li_form_order(w->book, form, "anna", NOW, w->errors);

    assert_non_null(made);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_int_equal(json_object_set_new(made, "order", json_integer((json_int_t)numbers[i])),
                         0);
        assert_int_equal(li_book_load_order(w->book, made), E_OK);
    }
    assert_int_equal(li_book_orders(w->book), sizeof sorted / sizeof sorted[0]);
    for (size_t i = 0; i < sizeof sorted / sizeof sorted[0]; i++) {
        assert_ptr_equal(li_book_order(w->book, sorted[i]), li_book_order_at(w->book, i));
        assert_int_equal(li_book_order_at(w->book, i)->order.id, sorted[i]);
    }
    assert_null(li_book_order(w->book, 3));
    assert_null(li_book_order(w->book, 10));
    json_decref(made);
    json_decref(form);
}

static void what_was_stored_and_is_none(void **state)
{
    static const char *const bad[] = {
        "{\"order\":0}",       "{\"xid\":\"00\"}",
        "{\"type\":\"x\"}",    "{\"starts_at\":1}",
        "{\"ends_at\":\"x\"}", "{\"target\":{}}",
        "{\"target\":\"x\"}",  "{\"case_id\":\"01234567890123456789012345\"}"};
    struct world *w = *state;
    json_t *good = json_deep_copy(enter(w, "{}")->json);

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *more = json_loads(bad[i], 0, NULL), *item = json_deep_copy(good);
        assert_int_equal(json_object_update(item, more), 0);
        assert_int_equal(li_book_load_order(w->book, item), E_PARSE);
        json_decref(more);
        json_decref(item);
    }
    assert_int_equal(li_book_orders(w->book), 1);
    json_decref(good);
}

/* ---- agencies ----------------------------------------------------------------------------------
 */
static enum err change(struct world *w, enum li_agency_act what, const char *form, const char *who)
{
    const struct li_agency *a = li_book_agency(w->book, 1);
    json_t *f = json_loads(form, 0, NULL), *made = NULL;
    enum err e = E_OK;

    if (f == NULL) {
        fail_msg("no JSON: %s", form);
    }
    json_array_clear(w->errors);
    e = li_agency_act_on(w->book, a, what, f, who, NOW, w->errors, &made);
    if (e == E_OK) {
        assert_int_equal(li_book_load_agency(w->book, made), E_OK);
    } else {
        assert_null(made);
    }
    json_decref(made);
    json_decref(f);
    return e;
}

static const char *pointer(const struct world *w)
{
    return li_text(json_array_get(w->errors, 0), "pointer");
}

static void an_agency_is_changed_by_two_officers(void **state)
{
    struct world *w = *state;
    const struct li_agency *a = li_book_agency(w->book, 1);
    const json_t *entry = NULL;
    char text[NET_TEXT_MAX];

    assert_int_equal(
        change(w, LI_AGENCY_CHANGE,
               "{\"version\":3,\"cdc\":{\"address\":\"192.0.2.9:1\",\"tls_name\":\"new.example\"}}",
               "anna"),
        E_OK);
    assert_int_equal(a->version, 4); /* not yet */
    assert_int_equal(change(w, LI_AGENCY_CHANGE, "{\"contact\":\"x\"}", "bert"), E_STATE);
    assert_int_equal(change(w, LI_AGENCY_RETIRE, "{\"reason\":\"x\"}", "bert"), E_STATE);
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "anna"), E_DENIED);
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":2}", "bert"), E_STATE);
    assert_string_equal(pointer(w), "/change");
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{}", "bert"), E_PARSE);
    assert_string_equal(pointer(w), "/change");
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "bert"), E_OK);
    assert_int_equal(a->version, 3);
    net_text(&a->cdc.to, text);
    assert_string_equal(text, "192.0.2.9:1");
    assert_string_equal(a->cdc.tls_name, "new.example");
    assert_string_equal(li_text(a->json, "name"), "blue");
    assert_null(json_object_get(a->json, "proposed"));
    entry = json_array_get(json_object_get(a->json, "history"), 0);
    assert_string_equal(li_text(entry, "proposed_by"), "anna");
    assert_string_equal(li_text(entry, "approved_by"), "bert");
    assert_int_equal(li_number(json_object_get(entry, "was"), "version"), 4);
    assert_string_equal(li_text(json_object_get(json_object_get(entry, "was"), "cdc"), "address"),
                        "192.0.2.1:9900");
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "bert"), E_STATE);
}

static void a_proposal_is_refused_or_wrong(void **state)
{
    static const struct {
        const char *form, *at;
    } wrong[] = {{"{}", ""},
                 {"{\"x2\":null}", "/x2"},
                 {"{\"name\":\"\"}", "/name"},
                 {"{\"version\":9}", "/version"},
                 {"{\"agency\":2}", "/agency"},
                 {"{\"proposed\":{}}", "/proposed"},
                 {"{\"cdc\":{\"address\":\"192.0.2.9:1\"}}", "/cdc/tls_name"}};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(change(w, LI_AGENCY_CHANGE, wrong[i].form, "anna"), E_PARSE);
        assert_string_equal(pointer(w), wrong[i].at);
    }
    for (unsigned i = 1; i <= LI_AGENCY_CHANGES_MAX; i++) {
        char refusal[64];
        assert_int_equal(change(w, LI_AGENCY_CHANGE, "{\"contact\":\"x\"}", "anna"), E_OK);
        snprintf(refusal, sizeof refusal, "{\"change\":%u}", i);
        assert_int_equal(change(w, LI_AGENCY_REFUSE, refusal, "bert"), E_PARSE);
        assert_string_equal(pointer(w), "/reason");
        snprintf(refusal, sizeof refusal, "{\"change\":%u,\"reason\":\"no\"}", i);
        /* who proposed may take it back himself */
        assert_int_equal(change(w, LI_AGENCY_REFUSE, refusal, i % 2 ? "anna" : "bert"), E_OK);
    }
    assert_int_equal(change(w, LI_AGENCY_CHANGE, "{\"contact\":\"x\"}", "anna"), E_RANGE);
    assert_string_equal(li_text(li_book_agency(w->book, 1)->json, "contact"), "duty desk");
}

static void a_retired_agency_gets_no_new_orders(void **state)
{
    struct world *w = *state;
    struct li_entry *order = enter(w, "{}");
    json_t *form = json_loads(ORDER, 0, NULL);

    assert_int_equal(change(w, LI_AGENCY_RETIRE, "{}", "anna"), E_PARSE);
    assert_string_equal(pointer(w), "/reason");
    assert_int_equal(change(w, LI_AGENCY_RETIRE, "{\"reason\":\"closed\"}", "anna"), E_OK);
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "bert"), E_STATE);
    assert_int_equal(act(w, order, LI_APPROVE, "bert", NOW), E_OK);
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "bert"), E_STATE);
    assert_int_equal(act(w, order, LI_END, "bert", NOW), E_OK);
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "anna"), E_DENIED);
    assert_int_equal(change(w, LI_AGENCY_APPROVE, "{\"change\":1}", "bert"), E_OK);
    assert_true(li_book_agency(w->book, 1)->is_retired);
    assert_int_equal(change(w, LI_AGENCY_CHANGE, "{\"contact\":\"x\"}", "anna"), E_STATE);
    json_array_clear(w->errors);
    assert_null(li_form_order(w->book, form, "anna", NOW, w->errors));
    assert_string_equal(pointer(w), "/agency");
    json_decref(form);
}

static void times_are_read_to_the_second(void **state)
{
    static const char *const bad[] = {"",
                                      "2026-11-24",
                                      "2026-11-24T00:00:00z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2026-02-30T00:00:00Z",
                                      "2026-11-24T00:60:00Z",
                                      "2026-11-24T00:00:60Z",
                                      "2026-11-24T00:00:00.0Z",
                                      "1969-12-31T23:59:59Z"};
    char text[24];
    uint64_t us = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (li_time_read(bad[i], &us)) {
            fail_msg("'%s' is a time", bad[i]);
        }
    }
    assert_true(li_time_read("2028-02-29T23:59:59Z", &us));
    li_time_write(us, text);
    assert_string_equal(text, "2028-02-29T23:59:59Z");
    li_time_write(us + DAY + 999999, text);
    assert_string_equal(text, "2028-03-01T23:59:59Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_field_of_an_order, make_world, end_world),
        cmocka_unit_test_setup_teardown(every_field_of_an_agency, make_world, end_world),
        cmocka_unit_test_setup_teardown(what_an_address_stands_for, make_world, end_world),
        cmocka_unit_test_setup_teardown(an_order_takes_two_officers, make_world, end_world),
        cmocka_unit_test_setup_teardown(orders_stand_by_their_number, make_world, end_world),
        cmocka_unit_test_setup_teardown(what_was_stored_and_is_none, make_world, end_world),
        cmocka_unit_test_setup_teardown(an_agency_is_changed_by_two_officers, make_world,
                                        end_world),
        cmocka_unit_test_setup_teardown(a_proposal_is_refused_or_wrong, make_world, end_world),
        cmocka_unit_test_setup_teardown(a_retired_agency_gets_no_new_orders, make_world, end_world),
        cmocka_unit_test(times_are_read_to_the_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
