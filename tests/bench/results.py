"""What came of the rows, and the Markdown that shows it."""
import statistics


class Results:
    """Values by (figure, system); why a row failed by (row, system)."""

    def __init__(self):
        self.values, self.failures, self.rows = {}, {}, []

    def add(self, row, system, values, error):
        if row not in self.rows:
            self.rows.append(row)
        if error:
            self.failures[row.name, system] = error
            return
        for figure, value in zip(row.figures, values, strict=True):
            if value is not None:
                self.values.setdefault((figure.name, system), []).append(value)

    def failed(self, row, system):
        return (row.name, system) in self.failures

    def median(self, figure, system):
        """None where there is none, as where the row failed."""
        failed = any((row.name, system) in self.failures for row in self.rows
                     for f in row.figures if f.name == figure)
        values = self.values.get((figure, system))
        return statistics.median(values) if values and not failed else None

    def cell(self, row, figure, system):
        error = self.failures.get((row.name, system))
        if error:
            return f"fails: {error}" if figure is row.figures[0] else "fails"
        return spread(self.values.get((figure.name, system)), figure.digits)


def spread(values, digits=0):
    """The median, with the least and the most."""
    if not values:
        return ""
    median, least, most = (f"{v:,.{digits}f}" for v in
                           (statistics.median(values), min(values), max(values)))
    return median if len(values) == 1 else f"{median} ({least}–{most})"


def table(head, lines):
    """Markdown; a bar in a cell would end it."""
    clean = [[str(cell).replace("|", "/").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(["| " + " | ".join(line) + " |"
                      for line in [head, ["---"] * len(head), *clean]]) + "\n"


def rows_table(results, rows, systems):
    """A line a figure, a column a system."""
    lines = []
    for row in rows:
        for figure in row.figures:
            cells = [results.cell(row, figure, system) for system in systems]
            if any(cells):
                unit = f", {figure.unit}" if figure.unit else ""
                lines.append([figure.name + unit, *cells])
    return table(["", *systems], lines)
