/* Agencies: the form of a new one, and how two officers change or retire one. */
#include <stdio.h>
#include <string.h>

#include "lawful_intercept/book_int.h"

/* What officers say of an agency; all else of it is ours. */
static const char *const said[] = {"name", "contact", "version", "cdc", "x2", NULL};

/* ---- forms -------------------------------------------------------------------------------------
 */
static bool is_host_name(const char *text)
{
    return text[0] != 0 && text[0] != '.' && text[0] != '-' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")] ==
               0;
}

static void check_security(const json_t *o, const struct li_place *p, const char *at,
                           json_t *errors)
{
    const json_t *plain = json_object_get(o, "plain"), *name = json_object_get(o, "tls_name");
    char pointer[40];

    snprintf(pointer, sizeof pointer, "%s/plain", at);
    if (plain != NULL && !json_is_boolean(plain)) {
        li_form_wrong(errors, pointer, "true or false");
        return;
    }
    if (p->is_plain && !net_is_loopback(&p->to)) {
        li_form_wrong(errors, pointer, "only to addresses of this machine");
    }
    snprintf(pointer, sizeof pointer, "%s/tls_name", at);
    if (p->is_plain && name != NULL) {
        li_form_wrong(errors, pointer, "a plain place has no certificate");
    } else if (!p->is_plain && name == NULL) {
        li_form_wrong(errors, pointer, "the name in the agency's certificate is missing");
    } else if (!p->is_plain && !is_host_name(p->tls_name)) {
        li_form_wrong(errors, pointer, "a host's name, as the agency's certificate has it");
    }
}

static void check_place(const json_t *form, const char *name, json_t *errors)
{
    static const char *const known[] = {"address", "tls_name", "plain", "framing", NULL};
    const json_t *o = json_object_get(form, name), *framing = json_object_get(o, "framing");
    const char *word = li_text(o, "framing");
    struct li_place p;
    char at[16], pointer[40];

    snprintf(at, sizeof at, "/%s", name);
    if (o == NULL || json_is_null(o)) {
        return;
    }
    if (!json_is_object(o)) {
        li_form_wrong(errors, at, "an object with an address");
        return;
    }
    li_form_known(o, known, at, errors);
    if (li_place_read(o, &p)) {
        check_security(o, &p, at, errors);
    } else {
        bool is_long = strlen(li_text(o, "tls_name")) >= sizeof p.tls_name;
        snprintf(pointer, sizeof pointer, "%s/%s", at, is_long ? "tls_name" : "address");
        li_form_wrong(errors, pointer, "%s",
                      is_long ? "too long" : "a numeric address with its port");
    }
    snprintf(pointer, sizeof pointer, "%s/framing", at);
    if (framing != NULL && strcmp(word, "stream") != 0 && strcmp(word, "counted") != 0) {
        li_form_wrong(errors, pointer, "stream or counted");
    } else if (framing != NULL && strcmp(name, "x2") == 0) {
        li_form_wrong(errors, pointer, "X2 has a framing of its own");
    }
}

/* self: its own number among those that are known; 0: it is new. */
static void check_agency(const struct li_book *b, const json_t *form, uint64_t self, json_t *errors)
{
    static const struct li_text_field texts[] = {
        {"name", 1, LI_NAME_MAX - 1, false, "the agency's name"},
        {"contact", 1, 200, false, "whom to call there at any hour"}};
    const json_t *version = json_object_get(form, "version");

    li_form_text(form, &texts[0], errors);
    li_form_text(form, &texts[1], errors);
    check_place(form, "cdc", errors);
    check_place(form, "x2", errors);
    if (version != NULL && json_integer_value(version) != 3 && json_integer_value(version) != 4) {
        li_form_wrong(errors, "/version", "3 or 4");
    }
    if (!json_is_object(json_object_get(form, "cdc")) &&
        !json_is_object(json_object_get(form, "x2"))) {
        li_form_wrong(errors, "/cdc", "neither cdc nor x2: nothing could be delivered");
    }
    for (size_t i = 0; i < li_book_agencies(b); i++) {
        const struct li_agency *other = li_book_agency_at(b, i);
        if (other->id != self && strcmp(li_text(other->json, "name"), li_text(form, "name")) == 0) {
            li_form_wrong(errors, "/name", "there is an agency of that name");
        }
    }
}

static uint64_t next_agency(const struct li_book *b)
{
    uint64_t most = 0;

    for (size_t i = 0; i < li_book_agencies(b); i++) {
        const struct li_agency *a = li_book_agency_at(b, i);
        most = a->id > most ? a->id : most;
    }
    return most + 1;
}

json_t *li_form_agency(const struct li_book *b, const json_t *form, const char *who,
                       uint64_t now_us, json_t *errors)
{
    const json_t *version = json_object_get(form, "version");
    json_t *made = NULL;
    char at[24];

    li_form_known(form, said, "", errors);
    check_agency(b, form, 0, errors);
    if (json_array_size(errors) != 0) {
        return NULL;
    }
    li_time_write(now_us, at);
    made = json_deep_copy(form);
    if (made == NULL ||
        json_object_set_new(made, "agency", json_integer((json_int_t)next_agency(b))) != 0 ||
        json_object_set_new(made, "version",
                            json_integer(version != NULL ? json_integer_value(version) : 4)) != 0 ||
        json_object_set_new(made, "entered_by", json_string(who)) != 0 ||
        json_object_set_new(made, "entered_at", json_string(at)) != 0) {
        json_decref(made);
        return NULL;
    }
    return made;
}

/* ---- proposals ---------------------------------------------------------------------------------
 */
static const struct li_text_field reason_field = {"reason", 1, 400, false, "the reason"};

/* One member of each name that the form has, as the agency has it now. */
static json_t *now_of(const json_t *agency, const json_t *form)
{
    json_t *was = json_object();

    for (size_t i = 0; was != NULL && said[i] != NULL; i++) {
        const json_t *value = json_object_get(agency, said[i]);
        if (json_object_get(form, said[i]) != NULL && value != NULL &&
            json_object_set_new(was, said[i], json_deep_copy(value)) != 0) {
            json_decref(was);
            return NULL;
        }
    }
    return was;
}

/* The form's members upon those of the agency, checked as if it were entered so. */
static void check_change(const struct li_book *b, const struct li_agency *agency,
                         const json_t *form, json_t *errors)
{
    json_t *whole = json_deep_copy(agency->json);

    li_form_known(form, said, "", errors);
    if (json_object_size(form) == 0) {
        li_form_wrong(errors, "", "nothing is to change");
    }
    for (size_t i = 0; said[i] != NULL; i++) {
        char pointer[16];
        snprintf(pointer, sizeof pointer, "/%s", said[i]);
        if (json_is_null(json_object_get(form, said[i]))) {
            /* what waits for it would never be delivered */
            li_form_wrong(errors, pointer, "cannot be taken away: retire the agency");
        }
    }
    if (whole == NULL || json_object_update(whole, (json_t *)(uintptr_t)form) != 0) {
        li_form_wrong(errors, "", "out of memory");
    } else {
        check_agency(b, whole, agency->id, errors);
    }
    json_decref(whole);
}

static bool has_orders(const struct li_book *b, uint64_t agency, uint64_t now_us)
{
    for (size_t i = 0; i < li_book_orders(b); i++) {
        const struct li_entry *e = li_book_order_at(b, i);
        const char *state = li_state_of(e, now_us);
        if (e->agency == agency && (strcmp(state, "active") == 0 || strcmp(state, "waiting") == 0 ||
                                    strcmp(state, "entered") == 0)) {
            return true;
        }
    }
    return false;
}

static enum err propose(const struct li_book *b, const struct li_agency *agency,
                        enum li_agency_act act, const json_t *form, const char *who, const char *at,
                        json_t *errors, json_t *made)
{
    size_t before = json_array_size(json_object_get(made, "history"));
    json_t *proposed = NULL;

    if (agency->is_retired || json_object_get(made, "proposed") != NULL) {
        li_form_wrong(errors, "", "%s",
                      agency->is_retired ? "the agency is retired" : "another proposal waits");
        return FAIL(E_STATE);
    }
    if (before >= LI_AGENCY_CHANGES_MAX) {
        return FAIL(E_RANGE);
    }
    if (act == LI_AGENCY_CHANGE) {
        check_change(b, agency, form, errors);
    } else {
        li_form_known(form, (const char *const[]){"reason", NULL}, "", errors);
        li_form_text(form, &reason_field, errors);
    }
    if (json_array_size(errors) != 0) {
        return FAIL(E_PARSE);
    }
    proposed = json_pack("{s:I,s:s,s:s,s:s}", "change", (json_int_t)before + 1, "what",
                         act == LI_AGENCY_CHANGE ? "change" : "retire", "proposed_by", who,
                         "proposed_at", at);
    if (proposed == NULL || json_object_set_new(made, "proposed", proposed) != 0 ||
        (act == LI_AGENCY_CHANGE
             ? json_object_set_new(proposed, "to", json_deep_copy(form)) != 0 ||
                   json_object_set_new(proposed, "was", now_of(agency->json, form)) != 0
             : json_object_set(proposed, "reason", json_object_get(form, "reason")) != 0)) {
        return FAIL(E_NOMEM);
    }
    return E_OK;
}

/* ---- decisions ---------------------------------------------------------------------------------
 */
/* Of what was proposed; made: the agency, which is changed. */
static enum err put_in_force(const struct li_book *b, const struct li_agency *agency,
                             const json_t *proposed, const char *at, uint64_t now_us,
                             json_t *errors, json_t *made)
{
    json_t *to = json_object_get(proposed, "to");

    if (to == NULL && has_orders(b, agency->id, now_us)) {
        li_form_wrong(errors, "", "not all of its orders are over, or refused");
        return FAIL(E_STATE);
    }
    if (to != NULL) { /* others may have changed since */
        check_change(b, agency, to, errors);
    }
    if (json_array_size(errors) != 0) {
        return FAIL(E_STATE);
    }
    if (to != NULL ? json_object_update(made, to) != 0
                   : json_object_set_new(made, "retired_at", json_string(at)) != 0) {
        return FAIL(E_NOMEM);
    }
    return E_OK;
}

/* The proposal with what became of it goes into the history. */
static enum err keep(json_t *made, json_t *proposed, const char *how, const char *who,
                     const char *at, const json_t *reason)
{
    json_t *history = json_object_get(made, "history");
    char by[24], when[24];

    snprintf(by, sizeof by, "%s_by", how);
    snprintf(when, sizeof when, "%s_at", how);
    if (history == NULL) {
        history = json_array();
        if (json_object_set_new(made, "history", history) != 0) {
            return FAIL(E_NOMEM);
        }
    }
    if (json_object_set_new(proposed, by, json_string(who)) != 0 ||
        json_object_set_new(proposed, when, json_string(at)) != 0 ||
        (reason != NULL && json_object_set_new(proposed, "refusal", json_deep_copy(reason)) != 0) ||
        json_array_append(history, proposed) != 0 || json_object_del(made, "proposed") != 0) {
        return FAIL(E_NOMEM);
    }
    return E_OK;
}

static enum err decide(const struct li_book *b, const struct li_agency *agency,
                       enum li_agency_act act, const json_t *form, const char *who, const char *at,
                       uint64_t now_us, json_t *errors, json_t *made)
{
    static const char *const known[] = {"change", "reason", NULL};
    json_t *proposed = json_incref(json_object_get(made, "proposed"));
    enum err e = E_OK;

    li_form_known(form, act == LI_AGENCY_APPROVE ? (const char *const[]){"change", NULL} : known,
                  "", errors);
    if (li_number(form, "change") == 0) {
        li_form_wrong(errors, "/change", "the number of the proposal is missing");
    }
    if (act == LI_AGENCY_REFUSE) {
        li_form_text(form, &reason_field, errors);
    }
    if (json_array_size(errors) != 0) {
        TRY(FAIL(E_PARSE));
    }
    /* The number, so that nobody approves another proposal than the one that he saw. */
    if (proposed == NULL || li_number(proposed, "change") != li_number(form, "change")) {
        li_form_wrong(errors, "/change", "no proposal of that number waits");
        TRY(FAIL(E_STATE));
    }
    if (act == LI_AGENCY_APPROVE && strcmp(li_text(proposed, "proposed_by"), who) == 0) {
        li_form_wrong(errors, "/proposed/proposed_by", "is the one who would approve it");
        TRY(FAIL(E_DENIED));
    }
    if (act == LI_AGENCY_APPROVE) {
        TRY(put_in_force(b, agency, proposed, at, now_us, errors, made));
    }
    e = keep(made, proposed, act == LI_AGENCY_APPROVE ? "approved" : "refused", who, at,
             act == LI_AGENCY_REFUSE ? json_object_get(form, "reason") : NULL);
out:
    json_decref(proposed);
    return e;
}

enum err li_agency_act_on(const struct li_book *b, const struct li_agency *agency,
                          enum li_agency_act act, const json_t *form, const char *who,
                          uint64_t now_us, json_t *errors, json_t **out)
{
    bool proposes = act == LI_AGENCY_CHANGE || act == LI_AGENCY_RETIRE;
    json_t *made = json_deep_copy(agency->json);
    char at[24];
    enum err e = made != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    li_time_write(now_us, at);
    TRY(proposes ? propose(b, agency, act, form, who, at, errors, made)
                 : decide(b, agency, act, form, who, at, now_us, errors, made));
    *out = made;
    made = NULL;
out:
    json_decref(made);
    return e;
}
