#include "cmd/stats_screen.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/text.h"
#include "net/term.h"

enum { PAGE_MAX = 16 * 1024 * 1024 };

static const char *const styles[] = {
	[STATS_PLAIN] = "",
	[STATS_BOLD] = "\033[1m",
	[STATS_GOOD] = "\033[32m",
	[STATS_WARNING] = "\033[33m",
	[STATS_FAINT] = "\033[2m",
};

void stats_screen_begin(struct stats_screen *s, bool again)
{
	bool is_terminal = term_is(STDOUT_FILENO);

	*s = (struct stats_screen){
		.again = again && is_terminal,
		.color = log_has_color(STDOUT_FILENO),
		.width = is_terminal ? term_width(STDOUT_FILENO, 80) : 0,
		.out.max = PAGE_MAX,
	};
	/* One row is for the cursor behind the last line. */
	if (s->again)
		s->rows = term_height(STDOUT_FILENO, 24) - 1;
	if (s->again)
		buf_text(&s->out, "\033[H");
}

/* The character at p and its length, which is not more than left. */
static uint32_t rune_at(const char *p, size_t left, size_t *len)
{
	const unsigned char *u = (const unsigned char *)p;
	uint32_t rune;

	*len = text_sequence(p, left);
	if (*len < 2) {
		*len = 1;
		return *u;
	}
	rune = *u & (0x7fu >> *len);
	for (size_t i = 1; i < *len; i++)
		rune = rune << 6 | (u[i] & 0x3f);
	return rune;
}

static size_t columns_of(uint32_t rune)
{
	static const struct {
		uint32_t from, to;
		size_t columns;
	} ranges[] = {
		{ 0x300, 0x36f, 0 }, { 0x483, 0x489, 0 }, { 0x591, 0x5bd, 0 }, { 0x610, 0x61a, 0 },
		{ 0x64b, 0x65f, 0 }, { 0x1100, 0x115f, 2 }, { 0x1ab0, 0x1aff, 0 },
		{ 0x1dc0, 0x1dff, 0 }, { 0x20d0, 0x20ff, 0 }, { 0x2e80, 0x303e, 2 },
		{ 0x3041, 0xa4cf, 2 }, { 0xa960, 0xa97f, 2 }, { 0xac00, 0xd7a3, 2 },
		{ 0xf900, 0xfaff, 2 }, { 0xfe20, 0xfe2f, 0 }, { 0xfe30, 0xfe6f, 2 },
		{ 0xff00, 0xff60, 2 }, { 0xffe0, 0xffe6, 2 }, { 0x1f300, 0x1faff, 2 },
		{ 0x20000, 0x3fffd, 2 },
	};

	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
		if (rune >= ranges[i].from && rune <= ranges[i].to)
			return ranges[i].columns;
	return 1;
}

/* How many bytes of the text take at most so many columns. */
static size_t fitting(const char *text, size_t len, size_t columns)
{
	size_t at = 0, used = 0, n;

	while (at < len) {
		used += columns_of(rune_at(text + at, len - at, &n));
		if (used > columns)
			break;
		at += n;
	}
	return at;
}

size_t stats_screen_columns(const char *text, size_t len)
{
	size_t columns = 0, n;

	for (size_t at = 0; at < len; at += n)
		columns += columns_of(rune_at(text + at, len - at, &n));
	return columns;
}

static void add_line(struct stats_screen *s, enum stats_style style, const char *text, size_t len)
{
	bool is_cut = s->width && stats_screen_columns(text, len) > s->width;

	if (s->rows && s->lines == s->rows)
		return;
	s->lines++;
	if (is_cut)
		len = fitting(text, len, s->width - 1);
	if (s->color)
		buf_text(&s->out, styles[style]);
	buf_add(&s->out, text, len);
	if (is_cut)
		buf_text(&s->out, "…");
	if (s->color && style != STATS_PLAIN)
		buf_text(&s->out, "\033[0m");
	buf_text(&s->out, s->again ? "\033[K\n" : "\n");
}

void stats_screen_add(struct stats_screen *s, enum stats_style style, const char *text)
{
	for (;;) {
		size_t len = strcspn(text, "\n");

		add_line(s, style, text, len);
		if (!text[len])
			return;
		text += len + 1;
	}
}

unsigned stats_screen_left(const struct stats_screen *s)
{
	return s->rows ? s->rows - s->lines : UINT_MAX;
}

int stats_screen_end(struct stats_screen *s)
{
	bool ok;

	if (s->again)
		buf_text(&s->out, "\033[J");
	ok = fwrite(s->out.data, 1, s->out.len, stdout) == s->out.len && fflush(stdout) == 0;
	buf_fini(&s->out);
	return ok ? 0 : -1;
}
