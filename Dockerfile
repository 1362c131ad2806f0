# One image for every part but the database: compose.yaml says which command makes it what.
# Both stages lie at one path, for the code is used where its data lies, as in a checkout.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /opt/digitline
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# All that is locked is fetched against its hash; what a run needs is then installed from that alone.
COPY requirements.lock ./
RUN pip download --require-hashes --no-deps --requirement requirements.lock --dest /wheels
COPY . .
RUN python -m venv .venv \
    && .venv/bin/pip install --no-index --find-links /wheels hatchling editables \
    && .venv/bin/pip install --no-index --find-links /wheels --no-build-isolation --editable '.[dask]' \
    && .venv/bin/pip check

FROM python:3.11.14-slim-bookworm
WORKDIR /opt/digitline
RUN useradd --uid 10001 --create-home digitline \
    && install --directory --owner digitline --mode 0700 /srv/digitline /srv/digitline/inbox
COPY --from=build /opt/digitline /opt/digitline
# The deployments of prefect.yaml score the folder `inbox`, as seen from here.
RUN ln --symbolic /srv/digitline/inbox inbox
ENV PATH=/opt/digitline/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    DIGITLINE_HOME=/srv/digitline \
    PREFECT_HOME=/srv/digitline/.digitline/prefect \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    PREFECT_RESULTS_DEFAULT_SERIALIZER=json \
    PREFECT_LOGGING_EXTRA_LOGGERS=digitline
USER 10001
VOLUME /srv/digitline
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s CMD ["digitline", "--version"]
CMD ["digitline", "serve"]
