/* Before and after an enrolment. */
#include "bti/candidate.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bti/here.h"
#include "bti/slot.h"
#include "media/rtp.h"
#include "signaling/sip_edit.h"

enum { ENROLL_BYTE = SLOTS + 1 }; /* of the lock file */

enum err candidate_store(const struct options *o, const struct say *say, struct store **out,
                         int *out_lock)
{
    struct store *s = NULL;
    enum err e = store_new(o->store, o->passphrase_file, &s);

    if (e != E_OK) {
        say_failed(say, BTI_EXIT_NO_STORE, "%s: %s",
                   o->passphrase_file != NULL ? o->passphrase_file : o->store,
                   e == E_RANGE ? "empty or too long for a passphrase" : store_trouble(e));
        return e;
    }
    if (access(o->store, F_OK) == 0 && !o->force) {
        e = FAIL(E_EXISTS);
        say_failed(say, BTI_EXIT_NO_STORE,
                   "%s exists: this BTI is enrolled already (--force replaces its key)", o->store);
        goto out;
    }
    e = keyfile_lock(o->store, ENROLL_BYTE, false, out_lock);
    if (e != E_OK) {
        say_failed(say, BTI_EXIT_NO_STORE, "%s.lock: %s", o->store,
                   e == E_EXISTS ? "another process enrols at this moment" : store_trouble(e));
        goto out;
    }
    *out = s;
    s = NULL;
out:
    store_free(s);
    return e;
}

static enum err make_key(struct store_data *d, bool symmetric)
{
    d->kind = symmetric ? KEY_SYMMETRIC : KEY_P256;
    return symmetric ? secret_random(&d->shared, SECRET_MAX) : p256_generate(&d->k_u);
}

static enum err choose_mac(struct store_data *d, const struct options *o,
                           const struct net_addr *local)
{
    enum err e = E_OK;

    if (o->has_mac) {
        memcpy(d->mac, o->mac, sizeof d->mac);
    } else if (here_mac(local, d->mac) != E_OK) {
        e = crypto_random(d->mac, sizeof d->mac);
        d->mac[0] = (uint8_t)((d->mac[0] & 0xfc) | 0x02); /* locally administered, unicast */
    }
    return e;
}

enum err candidate_key(struct store *s, const struct options *o, const struct say *say,
                       const struct net_addr *local)
{
    struct store_data *d = &s->d;
    enum err e = store_load_pending(s);

    if (e == E_OK && (d->kind == KEY_SYMMETRIC) == o->symmetric) {
        say_event(say, "resumed", FACTS(fact_text("store", s->path)),
                  "an enrolment was not finished: going on with the key made then");
        return E_OK;
    }
    if (e != E_OK && e != E_NOTFOUND) {
        say_failed(say, BTI_EXIT_FAILED, "%s.pending: %s", s->path, store_trouble(e));
        return e;
    }
    wipe(d, sizeof *d);
    TRY(make_key(d, o->symmetric));
    TRY(choose_mac(d, o, local));
out:
    if (e != E_OK) {
        say_failed(say, BTI_EXIT_FAILED, "a key cannot be made: %s", err_text(e));
    }
    return e;
}

enum err candidate_root(struct store *s, const struct options *o, const struct say *say,
                        struct pki_root **out)
{
    struct store_data *d = &s->d;
    enum err e = secret_file_read(o->root, true, d->root, sizeof d->root, &d->root_n);

    if (e == E_OK) {
        e = pki_root_parse(view_from(d->root, d->root_n), out);
    }
    if (e != E_OK) {
        say_failed(say, BTI_EXIT_FAILED, "%s: %s", o->root,
                   e == E_NOTFOUND ? "no such file"
                   : e == E_DENIED ? "not a plain file that can be read"
                   : e == E_RANGE  ? "too large for a root certificate"
                                   : "no certificate in it");
    }
    return e;
}

enum err candidate_offer(struct net_addr rtp, uint64_t id, char *dst, size_t max, size_t *out_n)
{
    struct sip_text t = {.p = dst, .max = max};
    char ip[NET_TEXT_MAX];

    net_ip_text(&rtp, ip);
    sip_text_add(&t, "v=0\r\no=bti %llu 1 IN IP%u %s\r\ns=-\r\nc=IN IP%u %s\r\nt=0 0\r\n",
                 (unsigned long long)id, (unsigned)rtp.family, ip, (unsigned)rtp.family, ip);
    sip_text_add(&t,
                 "m=audio %u RTP/SAVP 0 %d\r\na=rtpmap:0 PCMU/8000\r\n"
                 "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-15\r\n",
                 (unsigned)rtp.port, RTP_EVENT, RTP_EVENT, RTP_EVENT);
    sip_text_add(&t, "a=ptime:20\r\na=sendrecv\r\n"
                     "m=application 9 TCP headgate\r\na=setup:active\r\na=connection:new\r\n");
    *out_n = t.n;
    return t.bad ? FAIL(E_RANGE) : E_OK;
}

enum err candidate_keep(struct store *s, const struct options *o, const struct enrol_bti *machine,
                        const struct net_addr *ps)
{
    struct store_data *d = &s->d;
    enum err e = E_OK;

    d->ack = *enrol_bti_result(machine);
    TRY(enrol_bti_ltk(machine, &d->ltk));
    d->counter = 0;
    d->ahead_us = 0;
    if (d->ack.servers.n == 0) {
        net_text(ps, d->ack.servers.v[0]);
        d->ack.servers.n = 1;
    }
    snprintf(d->domain, sizeof d->domain, "%s", o->domain);
    snprintf(d->ps_name, sizeof d->ps_name, "%s", o->ps_name != NULL ? o->ps_name : "");
    slot_forget_all(s); /* they are another BTI's, or of another key */
    TRY(store_save(s));
    store_forget_pending(s);
out:
    return e;
}
