/* The command line taken apart, and words about it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl.h"

const char *ctl_option(struct ctl_args *a, const char *name)
{
    for (int i = 0; i + 1 < a->n; i++) {
        if (strcmp(a->v[i], name) == 0) {
            const char *value = a->v[i + 1];
            memmove(&a->v[i], &a->v[i + 2], sizeof a->v[0] * (size_t)(a->n - i - 2));
            a->n -= 2;
            return value;
        }
    }
    return NULL;
}

bool ctl_flag(struct ctl_args *a, const char *name)
{
    for (int i = 0; i < a->n; i++) {
        if (strcmp(a->v[i], name) == 0) {
            memmove(&a->v[i], &a->v[i + 1], sizeof a->v[0] * (size_t)(a->n - i - 1));
            a->n--;
            return true;
        }
    }
    return false;
}

int ctl_fail(int code, const char *fmt, ...)
{
    va_list ap;

    fputs("headgatectl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return code;
}

int ctl_id(const char *text, const char *what, char out[24])
{
    uint64_t id = 0;

    if (view_to_u64(view_of(text), INT64_MAX, &id) != E_OK || id == 0) {
        return ctl_fail(CTL_USAGE, "%s is a positive number, not '%s'", what, text);
    }
    snprintf(out, 24, "%llu", (unsigned long long)id);
    return CTL_OK;
}
