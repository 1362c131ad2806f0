"""`digitline suspects`: find training labels that are probably wrong."""

from cyclopts import App

from flows.commands.shell import check_settings, show_log_lines, tell

suspects = App(name="suspects", help="Find labels of a data set that are probably wrong.")


@suspects.default
def search(source: str = "mnist", /, *, most: int = 20) -> None:
    """Find labels of a data set that are probably wrong; the next retrain report shows them.

    Takes some 40 s of one core for 60,000 images, once for the same data.

    Parameters
    ----------
    source
        A data set by name, or a path or address as `ingest` takes it, such as
        s3://bucket/labelled; the embedded `mnist` if none.
    most
        How many to print.
    """
    settings = check_settings()
    from flows.orchestration import prepare

    prepare(settings.places)  # or Prefect, which the stages load, prints every line again
    show_log_lines()
    home = settings.places
    from digitline.learning.suspects import read_issues
    from digitline.names import printable
    from tasks.ingest import ingest_source
    from tasks.normalise import normalise_rows
    from tasks.suspect import suspect_labels

    data = ingest_source.fn(source, home, settings.checks, settings.decoding).directory
    rows = normalise_rows.fn(data, home.normalised, settings.decoding).directory
    file = suspect_labels.fn(data, rows, home.normalised)
    assert file is not None
    table = read_issues([file])
    for row in table.slice(0, most).to_pylist():
        words = f"labelled {row['label']}, looks like {row['suggested']}"
        print(printable(f"{words}  {row['score']:+.3f}  {row['path']}"))
    tell(suspects=f"{table.num_rows:,}", file=file)
