/* What the store says. */
#include "bti/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "bti/slot.h"

static void put_texts(FILE *to, const char *key, const struct enrol_texts *t)
{
    fprintf(to, ",\"%s\":[", key);
    for (size_t i = 0; i < t->n; i++) {
        fputs(i > 0 ? "," : "", to);
        say_json_text(to, view_of(t->v[i]));
    }
    fputc(']', to);
}

static void put_json(FILE *to, const struct store_data *d, uint64_t expires_us)
{
    char id[2 * BTI_ID_BYTES + 1];

    hex_put(d->ack.bti_id, BTI_ID_BYTES, id);
    fprintf(to, "{\"enrolled\":true,\"bti_id\":\"%s\",\"key\":\"%s\",\"domain\":", id,
            d->kind == KEY_P256 ? "p256" : "symmetric");
    say_json_text(to, view_of(d->domain));
    put_texts(to, "numbers", &d->ack.numbers);
    put_texts(to, "gates", &d->ack.gates);
    put_texts(to, "servers", &d->ack.servers);
    fprintf(to, ",\"counter\":%" PRIu64 ",\"session_expires\":", d->counter);
    if (expires_us != 0) {
        fprintf(to, "%" PRIu64 "}\n", expires_us / 1000000);
    } else {
        fputs("null}\n", to);
    }
}

static void put_list(const char *what, const struct enrol_texts *t)
{
    printf("%-18s", what);
    for (size_t i = 0; i < t->n; i++) {
        printf("%s%s", i > 0 ? ", " : "", t->v[i]);
    }
    puts(t->n == 0 ? "none" : "");
}

static void put_text(const struct store_data *d, uint64_t expires_us)
{
    char id[2 * BTI_ID_BYTES + 1], when[64] = "none";
    time_t t = (time_t)(expires_us / 1000000);
    struct tm tm;

    hex_put(d->ack.bti_id, BTI_ID_BYTES, id);
    printf("%-18s%s\n%-18s%s\n", "enrolled as", id, "key",
           d->kind == KEY_P256 ? "P-256 key pair" : "512 shared bits");
    printf("%-18s%s\n", "domain", d->domain);
    put_list("numbers", &d->ack.numbers);
    put_list("gate controllers", &d->ack.gates);
    put_list("servers", &d->ack.servers);
    if (expires_us != 0 && gmtime_r(&t, &tm) != NULL) {
        strftime(when, sizeof when, "good until %Y-%m-%dT%H:%M:%SZ", &tm);
    }
    printf("%-18s%s\n", "kept session", when);
}

static int not_enrolled(const struct options *o, const struct say *say, enum err e, bool pending)
{
    const char *file = o->store;

    if (o->json || o->machine) {
        printf("{\"enrolled\":false,\"pending\":%s,\"reason\":", pending ? "true" : "false");
        say_json_text(stdout, view_of(store_trouble(e)));
        puts("}");
        return BTI_EXIT_NO_STORE;
    }
    if (pending) {
        return say_failed(
            say, BTI_EXIT_NO_STORE,
            "%s: an enrolment was not finished; run it again with the same work order", file);
    }
    return say_failed(say, BTI_EXIT_NO_STORE, "%s: %s", file, store_trouble(e));
}

int status_run(const struct options *o, const struct say *say)
{
    struct store *s = NULL;
    uint64_t expires_us = 0;
    int code = BTI_EXIT_OK;
    enum err e = store_new(o->store, o->passphrase_file, &s);

    if (e != E_OK) {
        return say_failed(say, BTI_EXIT_NO_STORE, "%s: %s", o->passphrase_file,
                          e == E_RANGE ? "empty or too long for a passphrase" : store_trouble(e));
    }
    e = store_load(s);
    if (e != E_OK) {
        code = not_enrolled(o, say, e, e == E_NOTFOUND && store_load_pending(s) == E_OK);
    } else {
        expires_us = slot_latest_expiry(s);
        expires_us = expires_us > clock_wall_us(clock_system()) ? expires_us : 0;
        if (o->json || o->machine) {
            put_json(stdout, &s->d, expires_us);
        } else {
            put_text(&s->d, expires_us);
        }
    }
    fflush(stdout);
    store_free(s);
    return code;
}
