/* Credentials for a phone that speaks no BTI-MAC. */
#include "bti/credentials.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "authz/digest.h"
#include "base/clock.h"
#include "bti/fetch.h"

struct asking {
    const struct options *o;
    const struct say *say;
    struct loop *loop;
    struct store *store;
    struct pki_root *root;
    struct fetch *fetch;
    struct loop_signal *on_int, *on_term;
    int code;
};

/* ---- what is shown -----------------------------------------------------------------------------
 */
static void put_proxies(const struct enrol_texts *gates, bool json)
{
    for (size_t i = 0; i < gates->n; i++) {
        if (json) {
            fputs(i > 0 ? "," : "", stdout);
            say_json_text(stdout, view_of(gates->v[i]));
        } else {
            printf("%s%s", i > 0 ? ", " : "", gates->v[i]);
        }
    }
}

static const char *number_of(const struct store_data *d)
{
    return d->ack.numbers.n > 0 ? d->ack.numbers.v[0] : "";
}

static void put_json(const struct store_data *d, const struct session *s, const char *username,
                     const char *password)
{
    printf("{\"username\":\"%s\",\"password\":\"%s\",\"realm\":", username, password);
    say_json_text(stdout, view_of(d->domain));
    fputs(",\"number\":", stdout);
    say_json_text(stdout, view_of(number_of(d)));
    fputs(",\"proxies\":[", stdout);
    put_proxies(&s->gates, true);
    printf("],\"expires\":%" PRIu64 "}\n", s->expires_us / 1000000);
}

static void put_text(const struct store_data *d, const struct session *s, const char *username,
                     const char *password)
{
    char when[64] = "?";
    time_t t = (time_t)(s->expires_us / 1000000);
    struct tm tm;

    if (gmtime_r(&t, &tm) != NULL) {
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    }
    printf("%-18s%s\n%-18s%s\n%-18s%s\n", "user name", username, "password", password,
           "realm, domain", d->domain);
    printf("%-18s%s\n%-18s", "number", number_of(d), "proxy");
    put_proxies(&s->gates, false);
    printf("\n%-18s%s, when their session ends; then ask again\n", "good until", when);
}

/* ---- asking ------------------------------------------------------------------------------------
 */
static void on_fetched(void *arg, struct session *session, enum bti_exit code, const char *why)
{
    struct asking *a = arg;
    char username[2 * BTI_KID_BYTES + 1], password[DIGEST_PASSWORD_BYTES];

    if (session == NULL) {
        a->code = say_failed(a->say, code, "%s", why);
    } else if (digest_session_password(&session->keys.digest, password) != E_OK) {
        a->code = say_failed(a->say, BTI_EXIT_FAILED, "the password could not be made");
    } else {
        hex_put(session->kid, sizeof session->kid, username);
        (a->o->json || a->o->machine ? put_json : put_text)(&a->store->d, session, username,
                                                            password);
        fflush(stdout);
        wipe(password, sizeof password);
        a->code = BTI_EXIT_OK;
    }
    session_free(session);
    loop_stop(a->loop);
}

static void on_signal(void *arg)
{
    struct asking *a = arg;

    a->code = BTI_EXIT_GAVE_UP;
    loop_stop(a->loop);
}

static enum err open_store(struct asking *a)
{
    enum err e = store_new(a->o->store, a->o->passphrase_file, &a->store);

    if (e != E_OK) {
        a->code =
            say_failed(a->say, BTI_EXIT_NO_STORE, "%s: %s", a->o->passphrase_file,
                       e == E_RANGE ? "empty or too long for a passphrase" : store_trouble(e));
        return e;
    }
    e = store_load(a->store);
    if (e != E_OK) {
        a->code = say_failed(a->say, BTI_EXIT_NO_STORE, "%s: %s", a->o->store, store_trouble(e));
    }
    return e;
}

static enum err ask(struct asking *a)
{
    struct fetch_cfg cfg = {.local = a->o->local, .server = a->o->ps, .done = on_fetched, .arg = a};
    enum err e = open_store(a);

    TRY(e);
    TRY(pki_root_parse(view_from(a->store->d.root, a->store->d.root_n), &a->root));
    TRY(loop_new(clock_system(), &a->loop));
    TRY(loop_signal_start(a->loop, SIGINT, on_signal, a, &a->on_int));
    TRY(loop_signal_start(a->loop, SIGTERM, on_signal, a, &a->on_term));
    cfg.store = a->store;
    cfg.root = a->root;
    TRY(fetch_start(a->loop, &cfg, &a->fetch));
    loop_run(a->loop);
out:
    return e;
}

int credentials_run(const struct options *o, const struct say *say)
{
    struct asking a = {.o = o, .say = say, .code = -1};
    enum err e = ask(&a);

    if (e != E_OK && a.code == -1) {
        a.code = say_failed(say, BTI_EXIT_FAILED, "%s", err_text(e));
    }
    fetch_cancel(a.fetch);
    loop_signal_stop(a.on_int);
    loop_signal_stop(a.on_term);
    if (a.loop != NULL) {
        loop_free(a.loop);
    }
    pki_root_free(a.root);
    store_free(a.store);
    return a.code;
}
