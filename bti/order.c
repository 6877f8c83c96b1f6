/* Where the work order comes from. */
#include "bti/order.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/secret.h"

enum { FILE_MAX = 256 };

static enum err take_text(struct order *r, struct view text)
{
    enum err e = options_digits(text, true, r->digits, WORK_ORDER_MAX + 1, &r->n);

    if (e == E_OK) {
        r->digits[r->n++] = '#';
        r->digits[r->n] = 0;
    }
    return e;
}

static enum err read_input(char *b, size_t max, size_t *out_n)
{
    size_t n = 0;

    while (n < max) {
        ssize_t got = read(STDIN_FILENO, b + n, max - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return FAIL(E_IO);
        }
        if (got == 0) {
            *out_n = n;
            return E_OK;
        }
        n += (size_t)got;
    }
    return FAIL(E_RANGE);
}

enum err order_open(struct order *r, struct options *o, const struct say *say)
{
    char b[FILE_MAX];
    size_t n = 0;
    const char *path = o->work_order_file;
    enum err e = E_OK;

    memset(r, 0, sizeof *r);
    r->say = say;
    if (o->digits[0] != 0) {
        say_warn(say, "a work order on the command line can be seen by others; "
                      "--work-order-file or the keyboard is better");
        e = take_text(r, view_of(o->digits));
        wipe(o->digits, sizeof o->digits);
    } else if (path == NULL || strcmp(path, "-") == 0) {
        r->ask = path == NULL && isatty(STDIN_FILENO) == 1;
        if (!r->ask) {
            path = "standard input";
            TRY(read_input(b, sizeof b, &n));
            TRY(take_text(r, view_from(b, n)));
        }
    } else {
        TRY(secret_file_read(path, true, b, sizeof b, &n));
        TRY(take_text(r, view_from(b, n)));
    }
out:
    wipe(b, sizeof b);
    if (e != E_OK) {
        say_failed(say, BTI_EXIT_USAGE, "the work order in %s: %s",
                   path != NULL ? path : "--digits",
                   e == E_PARSE || e == E_RANGE ? "1 to 32 digits are needed" : err_text(e));
    }
    return e;
}

static void on_input(void *arg, int fd, unsigned events)
{
    struct order *r = arg;
    ssize_t n = read(fd, r->line + r->line_n, sizeof r->line - r->line_n);
    char *end = NULL;
    enum err e = E_RANGE;

    (void)events;
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (n <= 0) { /* the terminal is gone; the provisioning server's patience ends it */
        loop_io_stop(r->io);
        r->io = NULL;
        return;
    }
    r->line_n += (size_t)n;
    end = memchr(r->line, '\n', r->line_n);
    if (end == NULL && r->line_n < sizeof r->line) {
        return;
    }
    if (end != NULL) {
        e = take_text(r, view_from(r->line, (size_t)(end - r->line)));
    }
    wipe(r->line, sizeof r->line);
    r->line_n = 0;
    if (e != E_OK) {
        say_warn(r->say, "1 to %d digits, please", WORK_ORDER_MAX);
        return;
    }
    loop_io_stop(r->io);
    r->io = NULL;
    r->ready(r->arg);
}

enum err order_want(struct order *r, struct loop *l, void (*ready)(void *arg), void *arg)
{
    if (r->n > 0) {
        ready(arg);
        return E_OK;
    }
    if (!r->ask) {
        return FAIL(E_NOTFOUND);
    }
    if (r->io != NULL) {
        return E_OK;
    }
    r->ready = ready;
    r->arg = arg;
    say_event(r->say, "enter", FACTS(fact_text("what", "work order")),
              "Please type the work-order number and press Enter:");
    return loop_io_start(l, STDIN_FILENO, LOOP_READ, on_input, r, &r->io);
}

void order_spent(struct order *r)
{
    wipe(r->digits, sizeof r->digits);
    r->n = 0;
}

void order_free(struct order *r)
{
    loop_io_stop(r->io);
    wipe(r, sizeof *r);
}
