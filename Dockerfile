# Rollbook for servers: `rollbook migrate`, then each role. It contains no Postgres, Redis or RabbitMQ.
FROM python:3.13-slim AS build
WORKDIR /opt/rollbook
COPY .ci .ci
COPY requirements.txt pyproject.toml README.md LICENSE ./
COPY domain domain
COPY projections projections
COPY application application
COPY infrastructure infrastructure
COPY interfaces interfaces
RUN .ci/bootstrap && rm -rf .tools

FROM python:3.13-slim
RUN useradd --system --home-dir /opt/rollbook rollbook
COPY --from=build /opt/rollbook /opt/rollbook
WORKDIR /opt/rollbook
USER rollbook
ENV PATH=/opt/rollbook/.venv/bin:$PATH PYTHONSAFEPATH=1
EXPOSE 8000
ENTRYPOINT ["rollbook"]
CMD ["api", "--host", "0.0.0.0"]
