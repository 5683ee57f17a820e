"""What checks annotated shapes while tests run: beartype, to which an int is a float as well."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
