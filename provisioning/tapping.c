/* From what the parts of headgate-prov know to records of the tap. */
#include "provisioning/tapping.h"

#include <string.h>

#include "provisioning/prov.h"
#include "signaling/sip_uri.h"

/* ---- life --------------------------------------------------------------------------------------
 */
enum err tapped_open(struct prov *p)
{
    const char *setting = "tap.key", *file = p->set.tap_key;
    enum err e = E_OK;

    if (p->set.tap_file[0] == 0) {
        return E_OK;
    }
    TRY(pki_public_load(p->set.tap_key, p->tap_key));
    setting = "tap.file";
    file = p->set.tap_file;
    TRY(tap_open(p->set.tap_file, p->set.tap_group, 1, (size_t)p->set.tap_bytes, &p->tap));
out:
    if (e != E_OK) {
        LOG(LV_ERROR, "prov.tap", KV("setting", setting), KV("file", file), KV_ERR(e));
    }
    return e;
}

void tapped_close(struct prov *p)
{
    tap_close(p->tap);
    p->tap = NULL;
}

/* ---- calls -------------------------------------------------------------------------------------
 */
static struct tap_record record_of(const struct prov *p, enum tap_kind kind,
                                   const struct tapped_call *call)
{
    return (struct tap_record){.kind = kind,
                               .party = TAP_STRANGER,
                               .at_us = loop_wall_us(p->loop),
                               .local = call->local,
                               .remote = call->bti,
                               .text = {view_of(call->id)}};
}

static void put(struct prov *p, const struct tap_record *r)
{
    tap_write(tap_ring_of(p->tap, 0), r);
}

void tapped_begin(struct prov *p, const struct sip_msg *m, const struct net_addr *bti,
                  const struct net_addr *local, struct tapped_call *out)
{
    struct tap_record r;
    struct sip_uri to;
    uint8_t id[8];

    *out = (struct tapped_call){.bti = *bti, .local = *local};
    if (p->tap == NULL || crypto_random(id, sizeof id) != E_OK) {
        return;
    }
    hex_put(id, sizeof id, out->id);
    r = record_of(p, TAP_CALL_BEGIN, out);
    r.text[1] = m->call_id;
    r.text[3] = sip_uri_parse(m->uri, &to) == E_OK ? to.user : VIEW("");
    put(p, &r);
    r.kind = TAP_MESSAGE_IN;
    r.text[1] = m->raw;
    r.text[3] = VIEW("");
    put(p, &r);
    r.kind = TAP_CALL_ROUTE;
    r.party = TAP_SERVER;
    r.remote = (struct net_addr){.family = 0};
    r.text[1] = sip_uri_parse(m->uri, &to) == E_OK ? to.user : VIEW("");
    r.text[2] = view_of(p->set.node_name);
    put(p, &r);
}

static void message(struct prov *p, enum tap_kind kind, const struct tapped_call *call,
                    struct view raw)
{
    struct tap_record r = record_of(p, kind, call);

    if (call->id[0] != 0) {
        r.text[1] = raw;
        put(p, &r);
    }
}

void tapped_in(struct prov *p, const struct tapped_call *call, struct view raw)
{
    message(p, TAP_MESSAGE_IN, call, raw);
}

void tapped_out(struct prov *p, const struct tapped_call *call, struct view raw)
{
    message(p, TAP_MESSAGE_OUT, call, raw);
}

void tapped_end(struct prov *p, const struct tapped_call *call, unsigned status, const char *by)
{
    struct tap_record r = record_of(p, TAP_CALL_END, call);

    if (call->id[0] != 0) {
        r.status = (uint16_t)status;
        r.text[1] = view_of(by);
        put(p, &r);
    }
}

/* ---- enrolments --------------------------------------------------------------------------------
 */
void tapped_seal(struct prov *p, const struct tapped_call *call, const char *call_id,
                 const struct audio_keys *keys, struct tapped_keys *out)
{
    const struct secret *parts[] = {&keys->up_key, &keys->up_salt, &keys->down_key,
                                    &keys->down_salt};
    uint8_t all[TAP_KEYS_BYTES];
    size_t n = 0;
    enum err e = E_OK;

    if (call->id[0] == 0) {
        return;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (n + parts[i]->n <= sizeof all) {
            memcpy(all + n, parts[i]->b, parts[i]->n);
        }
        n += parts[i]->n;
    }
    e = n == sizeof all
            ? tap_keys_seal(p->tap_key, view_of(call->id), view_of(call_id), all, out->sealed)
            : FAIL(E_STATE);
    wipe(all, sizeof all);
    if (e != E_OK) {
        LOG(LV_ERROR, "prov.tap_seal", KV("call_id", call_id), KV_ERR(e));
        return;
    }
    memcpy(out->id, call->id, sizeof out->id);
    IGNORE(view_to_cstr(view_of(call_id), out->call_id, sizeof out->call_id), "it was one of ours");
    out->are_sealed = true;
}

void tapped_enrolment(struct prov *p, struct tapped_keys *keys, const char *outcome, uint64_t line,
                      const uint8_t *bti, const struct enrol_texts *numbers)
{
    char id[2 * BTI_ID_BYTES + 1] = "";
    struct tap_record r = {.kind = TAP_ENROLMENT,
                           .party = TAP_SERVER,
                           .line = line,
                           .at_us = loop_wall_us(p->loop),
                           .text = {view_of(keys->id), view_of(keys->call_id), view_of(outcome)}};

    if (!keys->are_sealed) {
        return;
    }
    keys->are_sealed = false;
    r.text[3] = view_from(keys->sealed, sizeof keys->sealed);
    r.text[4] = numbers != NULL && numbers->n > 0 ? view_of(numbers->v[0]) : VIEW("");
    if (bti != NULL) {
        hex_put(bti, BTI_ID_BYTES, id);
    }
    r.text[5] = view_of(id);
    put(p, &r);
}
