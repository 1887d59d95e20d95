"""Parquet files as a bad disk or a broken download leaves them."""

from pathlib import Path


def damage_group(path: Path, group: int) -> None:
    """Overwrite the head of the first page of a row group, so that it cannot be read; the rest stays whole."""
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        start = file.metadata.row_group(group).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 16] = b"\xff" * 16
    path.write_bytes(content)
